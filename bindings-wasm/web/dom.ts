// Small things that every part of the page needs.

/** The element with this id, which index.html has. */
export function by<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no ${id}`);
  return element as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  fields: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
}

/** A name as people are shown it: without what the core takes out of one on the disk, such as what turns its letters round. */
export function shown(name: string): string {
  return name.replace(/[\p{Cc}\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu, "");
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let rest = bytes;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit ? rest.toFixed(1) : rest} ${units[unit]}`;
}

/** Runs `work` when the form is sent, once at a time; what goes wrong is said in `result`. */
export function onSubmit(form: string, result: string, work: (say: (text: string) => void) => Promise<void>): void {
  const element = by<HTMLFormElement>(form);
  const place = by(result);
  const say = (text: string): void => void (place.textContent = text);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = element.querySelector("button");
    if (button?.disabled) return;
    if (button) button.disabled = true;
    place.classList.remove("bad");
    try {
      await work(say);
    } catch (error) {
      place.classList.add("bad");
      say(reasonOf(error));
    } finally {
      if (button) button.disabled = false;
    }
  });
}
