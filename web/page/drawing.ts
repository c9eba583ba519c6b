/** A canvas to draw on with a mouse, a pen, a finger, or the keyboard: dark strokes on white paper. */

/** Width in pixels: for the size of the canvas, about that of the strokes on which the shipped learners were trained. */
const STROKE = 10;
/** Way in pixels that an arrow key moves the pen. */
const STEP = 7;

export class Drawing {
  empty = true;
  private readonly context: CanvasRenderingContext2D;
  private pen = { x: 140, y: 140, down: false };

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly marker: HTMLElement,
    private readonly changed: () => void,
  ) {
    this.context = canvas.getContext("2d", { willReadFrequently: true })!;
    this.context.lineWidth = STROKE;
    this.context.lineCap = this.context.lineJoin = "round";
    this.wipe();
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => (marker.hidden = true));
  }

  clear(): void {
    this.wipe();
    this.changed();
  }

  /** Show a picture in place of a drawing, stretched as a learner stretches it. */
  show(picture: CanvasImageSource): void {
    this.wipe();
    this.context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    this.empty = false;
    this.changed();
  }

  /** Return what is drawn now, as a canvas of its own. */
  copy(): HTMLCanvasElement {
    const made = document.createElement("canvas");
    [made.width, made.height] = [this.canvas.width, this.canvas.height];
    made.getContext("2d")!.drawImage(this.canvas, 0, 0);
    return made;
  }

  private wipe(): void {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.empty = true;
  }

  private begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.marker.hidden = true;
    this.line(this.at(event), this.at(event));
    this.pen = { ...this.at(event), down: false };
  }

  private move(event: PointerEvent): void {
    if (!this.canvas.hasPointerCapture(event.pointerId)) return;
    for (const point of event.getCoalescedEvents?.() ?? [event]) {
      this.line(this.pen, this.at(point));
      this.pen = { ...this.at(point), down: false };
    }
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const move = moves[event.key];
    if (event.key === "Escape") this.clear();
    else if (event.key === " ") this.pen.down = !this.pen.down;
    else if (move === undefined) return;
    event.preventDefault();
    const clamp = (value: number) => Math.min(Math.max(value, STROKE), this.canvas.width - STROKE);
    const next = { x: clamp(this.pen.x + STEP * (move?.[0] ?? 0)), y: clamp(this.pen.y + STEP * (move?.[1] ?? 0)) };
    if (this.pen.down) this.line(this.pen, next);
    this.pen = { ...next, down: this.pen.down };
    this.marker.hidden = false;
    this.marker.classList.toggle("down", this.pen.down);
    this.marker.style.left = `${(100 * next.x) / this.canvas.width}%`;
    this.marker.style.top = `${(100 * next.y) / this.canvas.height}%`;
  }

  private line(from: { x: number; y: number }, to: { x: number; y: number }): void {
    this.context.beginPath();
    this.context.moveTo(from.x, from.y);
    this.context.lineTo(to.x, to.y);
    this.context.stroke();
    this.empty = false;
    this.changed();
  }

  private at(event: PointerEvent): { x: number; y: number } {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }
}
