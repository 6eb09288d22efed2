// The page's few words. English stands in the HTML.
const WORDS = {
  en: { none: "no digit", unsure: "not sure", kept: "kept", copied: "copied", away: "server not reached", map: "which ink mattered",
        paper: "Paper", draw: "Draw digits", drop: "or drop a picture", help: "Arrow keys move the pen, space lowers and lifts it.", tools: "Tools", undo: "Undo", clear: "Clear", width: "Stroke width", picture: "Picture", answer: "Answer", token: "Token", saw: "seen", why: "why", wrong: "Wrong? The right digit:", copy: "Copy",
        notDigit: "not a digit", neither: "Not a digit", takeBack: "Undo", takenBack: "undone", needToken: "This server asks for a token.", wrongToken: "This token is wrong; try another.", cannotShow: "This browser cannot show this kind of picture. It is still read.", larger: "Larger", smaller: "Smaller", zoom: "Zoom", previous: "Previous picture", next: "Next picture", shortcuts: "Keys on a chosen digit: 0 to 9, x for not a digit, Backspace to undo.",
        learn: "Learn my hand", forget: "Forget it", learning: "learning your hand …", toLearn: "{n} of {m} corrections to learn your hand", ready: "{n} corrections", learned: "Learned from {n} examples: {a} → {b} errors on held-out ones.", notKept: "Not kept, the reader stays as it was", forgotten: "reads as before" },
  de: { none: "keine Ziffer", unsure: "unsicher", kept: "gemerkt", copied: "kopiert", away: "Server nicht erreicht", map: "welche Tinte zählte",
        paper: "Papier", draw: "Ziffern zeichnen", drop: "oder ein Bild ablegen", help: "Pfeiltasten bewegen den Stift, Leertaste senkt und hebt ihn.", tools: "Werkzeuge", undo: "Zurück", clear: "Löschen", width: "Strichstärke", picture: "Bild", answer: "Antwort", token: "Token", saw: "gesehen", why: "warum", wrong: "Falsch? Die richtige Ziffer:", copy: "Kopieren",
        notDigit: "keine Ziffer", neither: "Keine Ziffer", takeBack: "Zurücknehmen", takenBack: "zurückgenommen", needToken: "Dieser Server verlangt ein Token.", wrongToken: "Dieses Token ist falsch; versuche ein anderes.", cannotShow: "Dieser Browser kann ein solches Bild nicht zeigen; gelesen wird es trotzdem.", larger: "Größer", smaller: "Kleiner", zoom: "Vergrößerung", previous: "Voriges Bild", next: "Nächstes Bild", shortcuts: "Tasten auf einer gewählten Ziffer: 0 bis 9, x für keine Ziffer, Rücktaste nimmt zurück.",
        learn: "Meine Schrift lernen", forget: "Vergessen", learning: "lernt deine Schrift …", toLearn: "{n} von {m} Korrekturen, um deine Schrift zu lernen", ready: "{n} Korrekturen", learned: "Aus {n} Beispielen gelernt: {a} → {b} Fehler bei zurückgehaltenen.", notKept: "Nicht behalten, es bleibt, wie es war", forgotten: "liest wie zuvor" },
  fr: { none: "pas un chiffre", unsure: "incertain", kept: "retenu", copied: "copié", away: "serveur injoignable", map: "l’encre qui a compté",
        paper: "Papier", draw: "Dessinez des chiffres", drop: "ou déposez une image", help: "Les flèches déplacent le stylo, espace l’abaisse et le lève.", tools: "Outils", undo: "Annuler", clear: "Effacer", width: "Épaisseur", picture: "Image", answer: "Réponse", token: "Jeton", saw: "vu", why: "pourquoi", wrong: "Faux ? Le bon chiffre :", copy: "Copier",
        notDigit: "pas un chiffre", neither: "Pas un chiffre", takeBack: "Annuler la correction", takenBack: "correction annulée", needToken: "Ce serveur demande un jeton.", wrongToken: "Ce jeton est faux ; essayez-en un autre.", cannotShow: "Ce navigateur ne peut pas afficher cette image ; elle est lue quand même.", larger: "Agrandir", smaller: "Réduire", zoom: "Zoom", previous: "Image précédente", next: "Image suivante", shortcuts: "Touches sur un chiffre choisi : 0 à 9, x pour pas un chiffre, retour arrière pour annuler.",
        learn: "Apprendre mon écriture", forget: "Oublier", learning: "apprend votre écriture …", toLearn: "{n} corrections sur {m} pour apprendre votre écriture", ready: "{n} corrections", learned: "Appris de {n} exemples : {a} → {b} erreurs sur ceux mis de côté.", notKept: "Non retenu, le lecteur reste tel quel", forgotten: "lit comme avant" },
  hi: { none: "अंक नहीं", unsure: "अनिश्चित", kept: "सहेजा", copied: "कॉपी हुआ", away: "सर्वर नहीं मिला", map: "कौन सी स्याही मायने रखती है",
        paper: "काग़ज़", draw: "अंक बनाएँ", drop: "या चित्र डालें", help: "तीर कुंजियाँ कलम चलाती हैं, स्पेस उसे रखता और उठाता है।", tools: "औज़ार", undo: "वापस", clear: "मिटाएँ", width: "मोटाई", picture: "चित्र", answer: "उत्तर", token: "टोकन", saw: "देखा", why: "क्यों", wrong: "ग़लत? सही अंक:", copy: "कॉपी",
        notDigit: "अंक नहीं", neither: "अंक नहीं", takeBack: "वापस लें", takenBack: "वापस लिया", needToken: "यह सर्वर टोकन माँगता है।", wrongToken: "यह टोकन ग़लत है; दूसरा आज़माएँ।", cannotShow: "यह ब्राउज़र ऐसा चित्र नहीं दिखा सकता; पढ़ा फिर भी जाता है।", larger: "बड़ा", smaller: "छोटा", zoom: "ज़ूम", previous: "पिछला चित्र", next: "अगला चित्र", shortcuts: "चुने अंक पर कुंजियाँ: 0 से 9, x यानी अंक नहीं, Backspace से वापस।",
        learn: "मेरी लिखावट सीखें", forget: "भूल जाएँ", learning: "आपकी लिखावट सीख रहा है …", toLearn: "लिखावट सीखने के लिए {m} में से {n} सुधार", ready: "{n} सुधार", learned: "{n} उदाहरणों से सीखा: अलग रखे अंकों पर {a} → {b} ग़लतियाँ।", notKept: "नहीं रखा गया, पढ़ना पहले जैसा ही रहेगा", forgotten: "पहले जैसा पढ़ता है" },
};

const language = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in WORDS) ?? "en";
export const words = { ...WORDS.en, ...WORDS[language] };

function label(element, text) {
  element.setAttribute("aria-label", text);
  if (element.tagName === "BUTTON") element.title = text;
}

export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
  for (const element of document.querySelectorAll("[data-label]")) label(element, words[element.dataset.label]);
}
