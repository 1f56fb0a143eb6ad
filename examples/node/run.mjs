// Runs an img2img model on one picture, in Node.
//
//   npm install
//   node run.mjs MODEL.onnx IN OUT.png
//
// For models without a mask, domain, reference or code. The picture runs as a whole, so it must fit into memory.
import { basename } from "node:path";
import { readCard } from "./card.mjs";

const [model, input, output] = process.argv.slice(2);
if (!output) {
  console.error("usage: node run.mjs MODEL.onnx IN OUT.png");
  process.exit(2);
}
const { default: ort } = await import("onnxruntime-node");
const { default: sharp } = await import("sharp");

const card = await readCard(model);
const { multiple = 1, scale = 1 } = card;
console.error(`${card.name}: ${card.task}, scale ${scale}, licence ${card.licence || "unknown"}`);

// EXIF orientation applied, sRGB, no alpha; mirrored at the right and bottom up to a multiple of the card's number.
const upright = sharp(await sharp(input).rotate().removeAlpha().toColourspace("srgb").png().toBuffer());
const { width, height } = await upright.metadata();
const right = (multiple - (width % multiple)) % multiple;
const bottom = (multiple - (height % multiple)) % multiple;
const padded = upright.extend({ right, bottom, extendWith: "mirror" });
const { data, info } = await padded.raw().toBuffer({ resolveWithObject: true });

// RGB bytes, row by row, to float32 [1, 3, H, W] in 0..1
const pixels = info.width * info.height;
const image = new Float32Array(3 * pixels);
for (let i = 0; i < pixels; i++) {
  for (let c = 0; c < 3; c++) image[c * pixels + i] = data[info.channels * i + c] / 255;
}
const session = await ort.InferenceSession.create(model);
const needed = session.inputNames.filter((name) => name !== "image");
if (needed.length > 0) {
  console.error(`${basename(model)} also needs ${needed.join(", ")}; this example gives a picture only`);
  process.exit(2);
}
const { result } = await session.run({ image: new ort.Tensor("float32", image, [1, 3, info.height, info.width]) });

const [, , rows, columns] = result.dims;
const bytes = Buffer.alloc(3 * rows * columns);
for (let i = 0; i < rows * columns; i++) {
  for (let c = 0; c < 3; c++) bytes[3 * i + c] = Math.round(255 * result.data[c * rows * columns + i]);
}
const whole = sharp(bytes, { raw: { width: columns, height: rows, channels: 3 } });
await whole.extract({ left: 0, top: 0, width: width * scale, height: height * scale }).png().toFile(output);
