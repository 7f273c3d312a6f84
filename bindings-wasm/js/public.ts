// What every entry for people offers besides its `createNode`.
export type { Attempt, AttemptResult } from "./address.js";
export * from "./errors.js";
export {
  MAX_VALUE,
  RunningNode,
  type AnnounceOptions,
  type GetSignedOptions,
  type LookupStep,
  type NodeEvents,
  type OperationOptions,
  type PutOptions,
  type SignalOptions,
  type PutResult,
  type Share,
  type ShareOptions,
  type StoreOptions,
} from "./node.js";
export type { Fetched, FetchOptions, FetchProgress, Shareable } from "./files.js";
export type { NodeOptions } from "./create.js";
export { Bencoded } from "./mainline.js";
export { RelayTransport, type Hello, type RelayCounters, type RelayOptions } from "./relay.js";
export { DATA_CHANNEL, WebRtcTransport, type WebRtcOptions } from "./webrtc.js";
export { Results } from "./results.js";
export type { StateStore } from "./storage.js";
export type {
  ContentRequest,
  ContentServer,
  Link,
  Shelf,
  Transport,
  TransportHost,
  Warning,
} from "./transport.js";
export type {
  Address,
  Bucket,
  Config,
  Contact,
  Dropped,
  Entry,
  Family,
  Health,
  Hit,
  Id,
  Item,
  Link as ContentLink,
  Partly,
  Path,
  Peer,
  PeerFailure,
  Provider,
  Rejection,
  Sample,
  SearchEntry,
  Signal,
  SignedValue,
  Stats,
  StoreStats,
  Swarm,
  Totals,
} from "../pkg/kadlet.js";
