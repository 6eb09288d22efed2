// A picture in a frame: enlarged by buttons or Ctrl and the wheel, moved by scrolling or dragging.
const LEVELS = [1, 1.5, 2, 3, 4, 6, 8];

export class Zoom {
  constructor(frame, view, onChange) {
    this.frame = frame;
    this.view = view;
    this.level = 1;
    this.onChange = onChange;
    this.grip = null; // where the mouse took hold: { x, y, left, top }
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frame.addEventListener("pointerdown", (event) => this.take(event));
    window.addEventListener("pointermove", (event) => this.drag(event));
    window.addEventListener("pointerup", () => { this.grip = null; });
  }

  get isLargest() { return this.level === LEVELS.at(-1); }

  reset() { this.set(1); }

  // One step larger (1) or smaller (-1), around a point of the frame; its middle where none is given.
  step(direction, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const next = LEVELS[LEVELS.indexOf(this.level) + direction];
    if (next) this.set(next, x, y);
  }

  set(level, x = 0, y = 0) {
    const { frame, view } = this;
    const share = [(frame.scrollLeft + x) / view.offsetWidth, (frame.scrollTop + y) / view.offsetHeight];
    this.level = level;
    view.style.width = view.style.height = `${100 * level}%`;
    frame.classList.toggle("zoomed", level > 1);
    if (level > 1) frame.tabIndex = 0; // the arrow keys scroll it
    else frame.removeAttribute("tabindex");
    frame.scrollTo(share[0] * view.offsetWidth - x, share[1] * view.offsetHeight - y);
    this.onChange();
  }

  // Bring a part of the picture to the middle of the frame where it is not seen.
  reveal(part) {
    if (this.level === 1 || !part) return;
    const inner = part.getBoundingClientRect();
    const outer = this.frame.getBoundingClientRect();
    const isSeen = inner.left >= outer.left && inner.right <= outer.right && inner.top >= outer.top && inner.bottom <= outer.bottom;
    if (isSeen) return;
    const middle = (rect) => [rect.left + rect.width / 2, rect.top + rect.height / 2];
    const [[x, y], [centerX, centerY]] = [middle(inner), middle(outer)];
    this.frame.scrollBy(x - centerX, y - centerY);
  }

  wheel(event) {
    if (!event.ctrlKey || !this.frame.classList.contains("with-photo")) return;
    event.preventDefault();
    const { left, top } = this.frame.getBoundingClientRect();
    this.step(event.deltaY < 0 ? 1 : -1, event.clientX - left, event.clientY - top);
  }

  take(event) {
    if (this.level === 1 || event.pointerType !== "mouse" || event.button !== 0) return;
    this.grip = { x: event.clientX, y: event.clientY, left: this.frame.scrollLeft, top: this.frame.scrollTop };
  }

  drag(event) {
    if (!this.grip) return;
    const { x, y, left, top } = this.grip;
    this.frame.scrollTo(left + x - event.clientX, top + y - event.clientY);
  }
}
