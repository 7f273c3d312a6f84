// Searching, fetching and sharing files.
import type { Hit, RunningNode } from "../js/public.js";
import { by, make, onSubmit, reasonOf, shown, size } from "./dom.js";

/** Of the files in the list: each is held in memory until its URL is revoked. */
const urls: string[] = [];

export function files(node: () => RunningNode): void {
  onSubmit("search", "search-result", async (say) => {
    const list = by("hits");
    list.replaceChildren();
    for (const url of urls.splice(0)) URL.revokeObjectURL(url);
    say("Asking…");
    let found = 0;
    for await (const hit of node().search(by<HTMLInputElement>("words").value)) {
      list.append(row(node, hit));
      say(`${++found} found so far…`);
    }
    say(found === 1 ? "1 file." : `${found || "No"} files.`);
  });
  onSubmit("share", "share-result", async (say) => {
    const file = by<HTMLInputElement>("file").files?.[0];
    if (file === undefined) return say("Choose a file first.");
    say(`Hashing ${size(file.size)}…`);
    const shared = await node().share(file);
    say(`${file.name} is shared while this page is open; ${shared.stored} nodes know of it. Its link: ${shared.link}`);
  });
}

function row(node: () => RunningNode, { entry }: Hit): HTMLLIElement {
  const name = shown(entry.name);
  const button = make("button", { type: "button", textContent: "Download" });
  button.setAttribute("aria-label", `Download ${name}`);
  const said = make("div", { className: "said" });
  said.setAttribute("role", "status");
  const line = make("li", {}, make("bdi", { className: "name", textContent: name }), size(entry.size), button, said);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const bar = make("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", `${name}: downloaded`);
    said.replaceChildren(bar);
    try {
      const link = { id: entry.content, name: entry.name, size: entry.size, contacts: [] };
      const fetched = await node().fetch(link, {
        progress({ size: whole, done }) {
          bar.value = whole ? done / whole : 0;
        },
      });
      // The list is another one by now.
      if (!line.isConnected) return;
      const url = URL.createObjectURL(fetched.blob ?? new Blob());
      urls.push(url);
      const from = Object.values(fetched.providers).filter((pieces) => pieces > 0).length;
      const save = make("a", { href: url, download: fetched.name, textContent: "save it" });
      said.replaceChildren(`All ${size(fetched.size)} verified, from ${from} provider${from === 1 ? "" : "s"}: `, save);
      said.dataset["done"] = "true";
    } catch (error) {
      said.replaceChildren(make("span", { className: "bad", textContent: reasonOf(error) }));
      button.disabled = false;
    }
  });
  return line;
}
