// The routing table as the tree of ids it is: the way to our own id, and what branches off from it.
import type { Bucket, Id } from "../js/public.js";

const SVG = "http://www.w3.org/2000/svg";
const ROW = 30;
/** Narrower than this it is scaled: letters stay legible. */
const WIDEST = 460;
const NARROWEST = 280;
const SLOTS = 20;
/** Levels shown: beyond them nobody but ourselves is left in networks below a few million nodes. */
const LEVELS = 24;

/** What became of somebody in the lookup that is shown. */
export type State = "asked" | "answered" | "failed";

/** The bits of an id, first one first. */
export function bits(id: Id): string {
  return Array.from(id, (digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
}

/** How many leading bits two ids share. */
export function shared(a: Id, b: Id): number {
  const [x, y] = [bits(a), bits(b)];
  const differs = Array.from(x).findIndex((bit, n) => bit !== y[n]);
  return differs < 0 ? x.length : differs;
}

function add(parent: Element, tag: string, attributes: Record<string, string | number>, text?: string): Element {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

/** Draws the table of `own`, and in it the lookup of `target` with those who took part. */
export class Tree {
  #before = new Set<Id>();

  constructor(readonly box: HTMLElement) {}

  draw(own: Id, buckets: readonly Bucket[], target?: Id, states: ReadonlyMap<Id, State> = new Map()): void {
    const rows = new Map<number, Set<Id>>();
    const put = (id: Id): void => {
      if (id === own) return;
      const level = Math.min(shared(own, id), LEVELS);
      const row = rows.get(level) ?? new Set();
      rows.set(level, row.add(id));
    };
    for (const { contacts } of buckets) for (const { contact } of contacts) put(contact.id);
    const known = [...rows.values()].reduce((sum, row) => sum + row.size, 0);
    for (const id of states.keys()) put(id);
    const wanted = target === undefined ? undefined : Math.min(shared(own, target), LEVELS);
    const levels = Math.max(3, 1 + Math.max(0, ...rows.keys(), wanted === undefined ? 0 : wanted));
    const width = Math.min(WIDEST, Math.max(NARROWEST, this.box.clientWidth));
    const height = ROW * (levels + 1) + 16;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${known} contacts on ${rows.size} of ${levels} levels of the tree`);
    const way = bits(own);
    // The further down, the further to the right: a tree seen along its own branch.
    const step = Math.min(9, 70 / levels);
    const x = (level: number): number => 14 + level * step;
    const y = (level: number): number => 16 + level * ROW;
    for (let level = 0; level < levels; level++) {
      const other = way[level] === "0" ? "1" : "0";
      const row = [...(rows.get(level) ?? [])].sort();
      const at = y(level) + ROW * 0.45;
      add(svg, "path", { class: "branch", d: `M${x(level)} ${y(level)} Q${x(level) + 4} ${at} 100 ${at} H112` });
      const prefix = level > 5 ? `…${way.slice(level - 4, level)}${other}` : way.slice(0, level) + other;
      add(svg, "text", { x: 114, y: at + 4 }, prefix);
      if (level === wanted) add(svg, "rect", { class: "target", x: 110, y: at - 11, width: width - 114, height: 22, rx: 5 });
      const slots = Math.max(SLOTS, row.length);
      const gap = (width - 176) / slots;
      for (let n = 0; n < slots; n++) {
        const id = row[n];
        const state = id === undefined ? "slot" : (states.get(id) ?? "known");
        const fresh = id !== undefined && !this.#before.has(id) ? " fresh" : "";
        const radius = Math.min(id === undefined ? 3 : 5, gap / 2 - 0.5);
        const dot = add(svg, "circle", { class: state + fresh, cx: 166 + n * gap, cy: at, r: radius });
        if (id !== undefined) {
          dot.setAttribute("data-id", id);
          add(dot, "title", {}, `${id}${states.has(id) ? `, ${states.get(id)}` : ""}`);
        }
      }
    }
    const points = Array.from({ length: levels + 1 }, (_, level) => `${x(level)},${y(level)}`);
    add(svg, "polyline", { class: "spine", points: points.join(" ") });
    for (let level = 0; level < levels; level++) {
      add(svg, "text", { x: x(level + 0.5) - 11, y: y(level + 0.5) + 4, class: "me" }, way[level]);
    }
    add(svg, "circle", { class: "own", cx: x(levels), cy: y(levels), r: 6 });
    add(svg, "text", { x: x(levels) + 12, y: y(levels) + 4, class: "me" }, `this node, ${own.slice(0, 8)}…`);
    this.#before = new Set([...rows.values()].flatMap((row) => [...row]));
    this.box.replaceChildren(svg);
  }
}
