// The page's few words. English stands in the HTML.
const WORDS = {
  en: { none: "no digit", unsure: "not sure", nothing: "–", kept: "kept", copied: "copied", away: "server not reached", map: "which ink mattered",
        paper: "Paper", draw: "Draw digits", drop: "or drop a picture", help: "Arrow keys move the pen, space lowers and lifts it.", tools: "Tools", undo: "Undo", clear: "Clear", width: "Stroke width", picture: "Picture", answer: "Answer", token: "Token", saw: "seen", why: "why", wrong: "Wrong? The right digit:", copy: "Copy", pen: "pen" },
  de: { none: "keine Ziffer", unsure: "unsicher", kept: "gemerkt", copied: "kopiert", away: "Server nicht erreicht", map: "welche Tinte zählte",
        paper: "Papier", draw: "Ziffern zeichnen", drop: "oder ein Bild ablegen", help: "Pfeiltasten bewegen den Stift, Leertaste senkt und hebt ihn.", tools: "Werkzeuge", undo: "Zurück", clear: "Löschen", width: "Strichstärke", picture: "Bild", answer: "Antwort", token: "Token", saw: "gesehen", why: "warum", wrong: "Falsch? Die richtige Ziffer:", copy: "Kopieren", pen: "Stift" },
  fr: { none: "pas un chiffre", unsure: "incertain", kept: "retenu", copied: "copié", away: "serveur injoignable", map: "l’encre qui a compté",
        paper: "Papier", draw: "Dessinez des chiffres", drop: "ou déposez une image", help: "Les flèches déplacent le stylo, espace l’abaisse et le lève.", tools: "Outils", undo: "Annuler", clear: "Effacer", width: "Épaisseur", picture: "Image", answer: "Réponse", token: "Jeton", saw: "vu", why: "pourquoi", wrong: "Faux ? Le bon chiffre :", copy: "Copier", pen: "stylo" },
  hi: { none: "अंक नहीं", unsure: "अनिश्चित", kept: "सहेजा", copied: "कॉपी हुआ", away: "सर्वर नहीं मिला", map: "कौन सी स्याही मायने रखती है",
        paper: "काग़ज़", draw: "अंक बनाएँ", drop: "या चित्र डालें", help: "तीर कुंजियाँ कलम चलाती हैं, स्पेस उसे रखता और उठाता है।", tools: "औज़ार", undo: "वापस", clear: "मिटाएँ", width: "मोटाई", picture: "चित्र", answer: "उत्तर", token: "टोकन", saw: "देखा", why: "क्यों", wrong: "ग़लत? सही अंक:", copy: "कॉपी", pen: "कलम" },
};

const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS) ?? "en";
export const words = { ...WORDS.en, ...WORDS[language] };

export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
}
