// The core's module: one of the two builds of it, loaded or on its way.
import type * as Module from "../pkg/kadlet.js";
import { LoadError } from "./errors.js";
import type { Mainline } from "./mainline.js";
import { messageOf } from "./words.js";

/** The core, loaded; what speaks Mainline is in the full build alone. */
export type Core = Partial<Mainline> & Pick<
  typeof Module,
  | "Node"
  | "Fetch"
  | "HashListBuilder"
  | "sign"
  | "keyOf"
  | "signedKeyOf"
  | "contentKeyOf"
  | "networkIdOf"
  | "parseLink"
  | "formatLink"
  | "safeFileName"
>;

/** What the glue takes. */
export type Source = URL | BufferSource | WebAssembly.Module;

type Glue<T> = T & { default(options: { module_or_path: Exclude<Source, URL> | Response }): Promise<unknown> };

function refused(error: unknown): LoadError {
  const words = messageOf(error);
  const policy = /unsafe-eval|content security policy|disallowed by embedder/i.test(words);
  const why = policy ? "the page's Content-Security-Policy forbids WebAssembly: its script-src needs 'wasm-unsafe-eval'" : words;
  const refusal = new LoadError(`the core cannot be loaded: ${why}`);
  refusal.cause = error;
  return refusal;
}

/** Reads what a URL names: from the disk where there is one. */
async function read(url: URL): Promise<Response | BufferSource> {
  if (url.protocol === "file:") {
    const fs = globalThis.process?.getBuiltinModule?.("node:fs");
    if (fs) return fs.promises.readFile(url);
  }
  const response = await fetch(url);
  if (!response.ok) throw new LoadError(`${url.href} answers ${response.status}`);
  return response;
}

/** Loads a build of the core once, however often it is asked for; a failure is tried again. */
export function loader<T>(glue: Glue<T>, source: () => Source | Promise<Source>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= (async () => {
      try {
        const from = await source();
        await glue.default({ module_or_path: from instanceof URL ? await read(from) : from });
        return glue;
      } catch (error) {
        loading = undefined;
        throw error instanceof LoadError ? error : refused(error);
      }
    })();
    return loading;
  };
}
