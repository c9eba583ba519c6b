/** Image files as canvases to learn from. */
import { DataError } from "../src/index.ts";

/** Return the picture in a file; light strokes become dark ones on light. */
export async function pictureOf(file: File, light: boolean): Promise<HTMLCanvasElement> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new DataError(`${file.name} cannot be read as an image; expected PNG, JPEG, GIF or WebP. Convert it first.`);
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d")!;
  context.fillStyle = light ? "#000" : "#fff"; // behind transparency
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (light) {
    context.globalCompositeOperation = "difference"; // gives white minus the picture
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  return canvas;
}
