// Talks to the server: the models, and requests with their progress.

const POLL = 300; // milliseconds between questions for the progress
const HEX = 16;

let token = null;

/** An answer that is an error: `status` and the server's message. */
export class Refusal extends Error {
  constructor(status, message, wait) {
    super(message);
    this.status = status;
    this.wait = wait; // seconds after which to try again
  }
}

/** Take the token from the address (#token=...), where no log sees it, and keep it for this tab. */
export function findToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    useToken(given);
    history.replaceState(null, "", location.pathname);
  } else {
    token = sessionStorage.getItem("token");
  }
}

export function useToken(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

/** The models of the server. Raises Refusal. */
export async function models() {
  const answer = await fetch("/models", { headers: headers() });
  await check(answer);
  return (await answer.json()).models;
}

/**
 * Send a form to an operation.
 *
 * @param {string} operation the name of a path
 * @param {FormData} form
 * @param {AbortSignal} signal ends the request, and the work on the server
 * @param {(state: {state: string, ahead: number, share: number}) => void} told receives the progress
 * @returns {Promise<{files: {name: string, blob: Blob}[], notes: string[], model: string, size: string|null}>}
 */
export async function send(operation, form, signal, told) {
  const job = Array.from(crypto.getRandomValues(new Uint8Array(HEX)), (byte) => byte.toString(HEX).padStart(2, "0")).join("");
  const watching = new AbortController();
  watch(job, watching.signal, told);
  try {
    const answer = await fetch(`/${operation}`, {
      method: "POST",
      body: form,
      signal,
      headers: headers({ "Img2img-Job": job, Accept: "multipart/form-data, image/*" }),
    });
    await check(answer);
    return {
      files: await filesOf(answer),
      notes: JSON.parse(answer.headers.get("Img2img-Notes") || "[]"),
      model: decodeURIComponent(answer.headers.get("Img2img-Model") || ""),
      size: answer.headers.get("Img2img-Size"),
    };
  } finally {
    watching.abort();
  }
}

async function watch(job, signal, told) {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, POLL));
    if (signal.aborted) return;
    try {
      const answer = await fetch("/jobs/" + job, { headers: headers(), signal });
      if (answer.ok) told(await answer.json());
    } catch {
      // The request itself reports that the server is gone.
    }
  }
}

function headers(more = {}) {
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

async function check(answer) {
  if (answer.ok) return;
  let message = `the server answers ${answer.status}`;
  try {
    message = (await answer.json()).error;
  } catch {
    // A proxy between answers in its own way.
  }
  throw new Refusal(answer.status, message, Number(answer.headers.get("Retry-After")) || 0);
}

async function filesOf(answer) {
  if ((answer.headers.get("Content-Type") || "").startsWith("multipart/form-data")) {
    return (await answer.formData()).getAll("image").map((file) => ({ name: file.name, blob: file }));
  }
  const named = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition") || "");
  return [{ name: named ? decodeURIComponent(named[1]) : "result", blob: await answer.blob() }];
}
