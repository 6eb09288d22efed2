// The paper: strokes by finger, pen, mouse or keyboard, kept as lines so that they can be undone and drawn again.
const INK = "#14171c";
const PAPER = "#ffffff";
const LONGEST = 1400; // pixels of the canvas; more tells the reader nothing
const STEP = 8;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.strokes = [];
    this.strokeWidth = 11;
    this.current = null;
    this.pen = null; // where the keyboard's pen is: { x, y, down }
    this.onChange = onChange;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.extend(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.end(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.dropPen());
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.fit();
  }

  get isEmpty() { return this.strokes.length === 0; }

  fit() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.scale = Math.min(window.devicePixelRatio || 1, LONGEST / Math.max(width, height));
    this.canvas.width = Math.round(width * this.scale);
    this.canvas.height = Math.round(height * this.scale);
    this.paint();
  }

  place(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  begin(event) {
    if (!event.isPrimary || event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.dropPen();
    this.start(this.place(event));
  }

  start(point) {
    this.current = { width: this.strokeWidth, points: [point] };
    this.strokes.push(this.current);
    this.changed();
  }

  extend(event) {
    if (!this.current || !event.isPrimary || this.pen) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) this.current.points.push(this.place(part));
    this.changed();
  }

  end(event) {
    if (!event.isPrimary || this.pen) return;
    this.current = null;
    this.changed();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (move) this.movePen(move, event.shiftKey ? 1 : STEP);
    else if (event.key === " ") this.turnPen();
    else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
  }

  penHere() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.pen ??= { x: width / 2, y: height / 2 };
    return { pen: this.pen, width, height };
  }

  movePen([dx, dy], step) {
    const { pen, width, height } = this.penHere();
    pen.x = Math.min(Math.max(pen.x + dx * step, 0), width);
    pen.y = Math.min(Math.max(pen.y + dy * step, 0), height);
    if (this.current) { this.current.points.push([pen.x, pen.y]); this.changed(); } else this.paint();
  }

  // The keyboard's; a stroke by pointer goes on when another element takes the focus.
  dropPen() {
    if (!this.pen) return;
    this.pen = this.current = null;
    this.paint();
  }

  turnPen() {
    const { pen } = this.penHere();
    if (this.current) { this.current = null; this.changed(); } else this.start([pen.x, pen.y]);
  }

  undo() {
    this.strokes.pop();
    this.current = null;
    this.changed();
  }

  clear() {
    this.strokes = [];
    this.current = null;
    this.paint();
  }

  changed() {
    this.paint();
    this.onChange();
  }

  paint(withPen = true) {
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = PAPER;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.scale(this.scale, this.scale);
    context.strokeStyle = INK;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) this.paintStroke(stroke);
    if (withPen && this.pen) this.paintPen();
  }

  paintStroke({ width, points }) {
    const { context } = this;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(...points[0]);
    if (points.length === 1) context.lineTo(...points[0]);
    for (let i = 1; i < points.length - 1; i++) {
      const [x, y] = points[i];
      const [nextX, nextY] = points[i + 1];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }

  paintPen() {
    const { context, pen } = this;
    context.save();
    context.lineWidth = 2;
    context.strokeStyle = "#0a5fb0";
    context.beginPath();
    context.arc(pen.x, pen.y, this.strokeWidth / 2 + 5, 0, 2 * Math.PI);
    context.stroke();
    context.restore();
  }

  // The drawing as a PNG file, without the keyboard's pen.
  picture() {
    this.paint(false);
    return new Promise((resolve) => {
      this.canvas.toBlob(resolve, "image/png");
      this.paint();
    });
  }
}
