// The page: a node, and what it sees.
import { InvalidState, createNode } from "../js/index.js";
import { RelayTransport, type Id, type PeerFailure, type RunningNode } from "../js/public.js";
import { WebRtcTransport } from "../js/webrtc.js";
import { by, make, onSubmit } from "./dom.js";
import { files } from "./files.js";
import { shared, type State, Tree } from "./tree.js";

let node: RunningNode | undefined;
let transport: WebRtcTransport | undefined;
const tree = new Tree(by("tree"));
let watched: { target: Id; states: Map<Id, State> } | undefined;

const input = (id: string): HTMLInputElement => by<HTMLInputElement>(id);

function joined(): RunningNode {
  if (node === undefined) throw new Error("Join a network first.");
  return node;
}

function status(state: string, text: string): void {
  by("status").dataset["state"] = state;
  // What is written is read out, the same words too.
  const place = by("status-text");
  if (place.textContent !== text) place.textContent = text;
}

/** What is true of the line now, in words. */
function refresh(): void {
  if (node === undefined) return;
  const open = transport?.channels ?? 0;
  const peers = `${open} peer${open === 1 ? "" : "s"}`;
  const { networkSize: nodes, offline } = node.health();
  // There is a line, and nobody at its other end.
  if (offline && (open || transport?.relayed)) status("offline", "Nobody answers. Trying again.");
  else if (transport?.relayed) status(open ? "direct" : "relay", open ? `Joined; direct channels to ${peers}, the relay for the others.` : "Joined; everything goes through the relay.");
  else if (open) status("direct", `The relay is gone; direct channels to ${peers} go on.`);
  else status("offline", "Offline: the relay is gone and no direct channel is open. Trying again.");
  by("channels").textContent = open ? peers : transport?.refused || "none";
  by("size").textContent = nodes === undefined ? "unknown" : `about ${nodes} nodes`;
  tree.draw(node.id, node.buckets(), watched?.target, watched?.states);
}

async function join(): Promise<void> {
  const started = performance.now();
  const bootstrap = input("bootstrap").value.split(/[\s,]+/).filter(Boolean);
  const network = input("network").value.trim();
  const relay = input("relay").value.trim();
  by("problem").textContent = by("problem").className = "";
  status("joining", "Joining…");
  let inner: WebRtcTransport | undefined;
  try {
    inner = new WebRtcTransport(new RelayTransport(relay));
    node = await createNode({ transport: inner, network, bootstrap, state: `page ${network}`, timeout: 20_000 });
  } catch (error) {
    status("offline", "Not joined.");
    if (!(error instanceof InvalidState)) throw error;
    throw new Error(`${error.message}. This page begins anew when this site's data is removed in the browser's settings.`);
  }
  transport = inner;
  document.documentElement.dataset["joined"] = String(Math.round(performance.now()));
  document.documentElement.dataset["joining"] = String(Math.round(performance.now() - started));
  by("own-id").textContent = node.id;
  const here = new URLSearchParams({ network, bootstrap: bootstrap.join(), relay, join: "1" });
  history.replaceState(null, "", `#${here}`);
  const reached = (all: readonly string[]): void => {
    by("own-address").textContent = all.join(", ");
    by<HTMLAnchorElement>("invite").href = `#${new URLSearchParams({ network, bootstrap: all.join(), relay, join: "1" })}`;
  };
  reached(node.addrs);
  by("join").hidden = true;
  by("self").hidden = false;
  node.addEventListener("table", refresh);
  node.addEventListener("offline", refresh);
  const note = (text: string): void => {
    by("problem").textContent = text;
    // A warning is no failure: the node goes on.
    by("problem").className = "note";
  };
  node.addEventListener("down", ({ detail }) => note(detail.reason.message));
  node.addEventListener("up", ({ detail }) => {
    note("");
    reached(detail.addresses);
  });
  node.addEventListener("warning", ({ detail }) => note(detail.message));
  transport.addEventListener("channels", refresh);
  for (const { message } of node.warnings) note(message);
  // Others need not wait for the end of what we were.
  addEventListener("pagehide", () => void node?.close());
  // A page that "Back" brings from the browser's cache has no node any more: a new one joins.
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  refresh();
}

const words = (reason: PeerFailure): string =>
  typeof reason === "string" ? reason.replaceAll("_", " ") : reason.code.replaceAll("_", " ");

async function lookup(say: (text: string) => void): Promise<void> {
  const own = joined();
  const random = Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => byte.toString(16).padStart(2, "0"));
  const target = input("target").value.trim().toLowerCase() || random.join("");
  const states = new Map<Id, State>();
  watched = { target, states };
  const steps = by("steps");
  steps.replaceChildren();
  const began = performance.now();
  say(`Looking for ${target}…`);
  for await (const step of own.lookup(target)) {
    if (step.type === "done") {
      const best = Math.max(0, ...step.closest.map(({ id }) => shared(id, target)));
      const { asked, answered, hops, elapsed } = step.totals;
      say(`Found the ${step.closest.length} closest in ${elapsed.toFixed(0)} ms: asked ${asked}, ${answered} answered, ${hops} hops; the closest shares ${best} bits with ${target}.`);
      continue;
    }
    const { peer } = step;
    const id = peer.id ?? "";
    if (id) states.set(id, step.type);
    const said =
      step.type === "asked" ? "asked" : step.type === "failed" ? words(step.reason) : `named ${step.named.length} in ${step.rtt.toFixed(1)} ms`;
    const cells = [`${(performance.now() - began).toFixed(0)} ms`, id ? id.slice(0, 8) : peer.path.remote, id ? String(shared(id, target)) : "", said];
    steps.append(make("tr", { className: step.type }, ...cells.map((text) => make("td", { textContent: text }))));
    tree.draw(own.id, own.buckets(), target, states);
  }
  refresh();
}

onSubmit("join", "problem", join);
onSubmit("lookup", "lookup-result", lookup);
onSubmit("put", "put-result", async (say) => {
  const { key, stored } = await joined().put(new TextEncoder().encode(input("value").value), { renew: true });
  input("key").value = key;
  say(`Kept by ${stored} nodes under ${key}`);
});
onSubmit("get", "get-result", async (say) => {
  const value = await joined().get(input("key").value.trim().toLowerCase());
  say(value === undefined ? "Peers answered: nobody has it." : new TextDecoder().decode(value));
});
files(joined);

const given = new URLSearchParams(location.hash.slice(1));
const secure = location.protocol === "https:" ? "wss:" : "ws:";
input("relay").value = given.get("relay") || `${secure}//${location.host}/relay`;
input("network").value = given.get("network") || "kadlet";
input("bootstrap").value = given.get("bootstrap") || "";
addEventListener("resize", refresh);
// Another invitation in the address bar is another node.
addEventListener("hashchange", () => location.reload());
// As a click would: a form that is on its way takes no second one, which would make a second node.
if (given.has("join")) by<HTMLFormElement>("join").requestSubmit();

// For tests and for those who look around with the developer tools.
Object.assign(globalThis, { kadlet: { node: () => node, transport: () => transport, createNode, RelayTransport, WebRtcTransport } });
