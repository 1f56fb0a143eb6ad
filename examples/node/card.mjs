// Reads the card of a model file. The JavaScript API of ONNX Runtime does not give the metadata of a file, so this walks
// through the fields of the protocol buffer: metadata_props is field 14 of a model, with a key and a value each.
import { readFile } from "node:fs/promises";

const METADATA = 14;
const KEY = 1;
const VALUE = 2;

/** Return the card of the model file `path` as an object. Throws an Error if it has none. */
export async function readCard(path) {
  for (const [number, entry] of fields(await readFile(path))) {
    if (number !== METADATA) continue;
    const texts = Object.fromEntries([...fields(entry)].map(([place, bytes]) => [place, bytes.toString("utf8")]));
    if (texts[KEY] === "img2img") return JSON.parse(texts[VALUE]);
  }
  throw new Error(`${path}: no img2img card`);
}

/** Yield [number, bytes] of each field with a length. Numbers and fields of a fixed size are skipped. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("the file is truncated");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new Error("the file is truncated");
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("not an ONNX file");
  }
}
