//! What answers bring: providers, search hits and values, each told once and only if it holds.

use alloc::vec::Vec;
use core::time::Duration;

use super::operation::{Kind, Operation, Purpose, secs};
use super::{Node, within_scope};
use crate::contact::{Contact, is_usable};
use crate::event::{Asked, Event, OperationId, PeerFailure};
use crate::id::Id;
use crate::limit::Cost;
use crate::record::{
    Form, InvalidRecord, Item, SearchEntry, SignedValue, Transports, Value, Verified,
};
use crate::time::Instant;
use crate::wire::{Item as WireItem, Method, Peer, Query, Response, SignedItem};

/// For so long after an operation began further pages are asked for. Sixty-four of them are read in
/// ten seconds where a round trip takes 150 ms.
const READING: Duration = Duration::from_secs(30);

impl Node {
    /// Providers, values and hits in an answer, and the next page of a long list.
    pub(super) fn take_results(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
        sender: Contact,
        page: u32,
        response: &Response<'_>,
    ) {
        let known = operation.totals.found;
        match &operation.kind {
            Kind::Providers => {
                for mut peer in &response.providers {
                    // Whoever names no address means itself.
                    if peer.address.ip().is_unspecified() {
                        peer.address.set_ip(sender.addr().ip());
                    }
                    if is_usable(peer.address) && within_scope(peer.address, sender.addr()) {
                        self.take_provider(id, operation, sender.id, peer);
                    }
                }
            }
            Kind::Search { .. } => {
                for hit in &response.hits {
                    if let Ok(entry) =
                        SearchEntry::with_extra(hit.name, hit.size, *hit.content, hit.extra)
                    {
                        self.take_hit(id, operation, sender.id, entry);
                    }
                }
            }
            Kind::Get { .. } => {
                if let Some(item) = response.item {
                    self.take_item(now, id, operation, sender, &item);
                }
            }
            #[cfg(feature = "mainline")]
            Kind::Scrape(_) | Kind::Sample => self.take_swarm(now, id, operation, sender, response),
            _ => return,
        }
        let news = operation.totals.found > known;
        // Whoever takes its time over each page, and has ever more of them, is left in the middle: what
        // the others gave is a result, and a deadline that has passed is none.
        let time = operation.deadline.since(operation.started);
        let most = (time / 2).max(time.saturating_sub(self.requests.timeouts().hard)).min(READING);
        let reads_on = now < operation.started + most;
        let next = response.next_page.filter(|next| reads_on && *next > page);
        if next.is_none() {
            operation.list_ends(sender.id);
        }
        if let Some(next) =
            next.filter(|_| operation.turns_page(sender.id, news, self.config.max_pages))
        {
            operation.to_read.push_back((sender, next));
        }
    }

    pub(super) fn take_provider(
        &mut self,
        id: u64,
        operation: &mut Operation,
        holder: Id,
        peer: Peer,
    ) {
        let known = operation.providers.len();
        let told = operation.note_provider(peer.address, peer.transports, self.config.max_found);
        let Some(transports) = told else { return };
        operation.totals.found += u32::from(operation.providers.len() > known);
        self.push_event(Event::Provider {
            operation: OperationId(id),
            address: peer.address,
            transports: Transports(transports),
            holder,
        });
    }

    pub(super) fn take_hit(
        &mut self,
        id: u64,
        operation: &mut Operation,
        holder: Id,
        entry: SearchEntry,
    ) {
        let Kind::Search { query, .. } = &operation.kind else { return };
        // A holder that does not filter, or lies, makes more work and no wrong results.
        if !query.matches(&entry) || operation.hits.len() >= self.config.max_found {
            return;
        }
        let mut fingerprint = blake3::Hasher::new();
        fingerprint.update(entry.content()).update(&entry.size().to_be_bytes());
        fingerprint.update(entry.name().as_bytes());
        if !operation.hits.insert(*fingerprint.finalize().as_bytes()) {
            return;
        }
        operation.totals.found += 1;
        self.push_event(Event::Hit { operation: OperationId(id), entry, holder });
    }

    /// A value counts if it certifies itself under the key that was asked for.
    fn take_item(
        &mut self,
        now: Instant,
        id: u64,
        operation: &mut Operation,
        sender: Contact,
        item: &WireItem<'_>,
    ) {
        let Kind::Get { salt, newer_than } = &operation.kind else { return };
        let best = operation.best.as_ref().and_then(Item::seq).or(*newer_than);
        let form = self.wire.form();
        let found = match item {
            WireItem::Immutable(bytes) => Value::of(form, *bytes).ok().map(Item::Immutable),
            WireItem::Signed(signed) => {
                // A signature costs 37 µs to check: only one that would beat the best is.
                if best.is_some_and(|best| signed.seq <= best) {
                    return;
                }
                let salt = if signed.salt.is_empty() { salt.as_slice() } else { signed.salt };
                let signed =
                    read_signed(form, signed, salt).ok().filter(|it| it.key() == operation.target);
                // Our own budget spent is not the peer's fault.
                if signed.is_some() && !self.limits.allow(now, Cost::Signature, sender.addr()) {
                    return;
                }
                signed
                    .and_then(Verified::check)
                    .map(|verified| Item::Signed(verified.into_signed()))
            }
        };
        match found.filter(|item| item.key() == operation.target) {
            Some(item) => self.found_item(id, operation, item, sender.id),
            None => {
                let peer = Asked { id: Some(sender.id), path: sender.path };
                let (operation_id, reason) = (OperationId(id), PeerFailure::Invalid);
                self.tell(operation, Event::Failed { operation: operation_id, peer, reason });
            }
        }
    }

    pub(super) fn found_item(
        &mut self,
        id: u64,
        operation: &mut Operation,
        item: Item,
        holder: Id,
    ) {
        if operation.best.as_ref() == Some(&item) {
            return;
        }
        operation.totals.found += 1;
        if let Item::Immutable(value) = &item {
            self.copy_to_path(operation, value);
            operation.lookup.finish_early();
        }
        let event = Event::Value { operation: OperationId(id), item: item.clone(), holder };
        operation.best = Some(item);
        self.push_event(event);
    }

    /// What we hold ourselves counts first.
    pub(super) fn answer_from_own_store(&mut self, now: Instant, id: u64) {
        let Some(mut operation) = self.operations.remove(&id) else { return };
        let (own, key) = (self.id(), operation.target);
        #[cfg(feature = "mainline")]
        if let Kind::Scrape(swarm) = &mut operation.kind {
            operation.totals.found += u32::from(self.count_held(now, key, swarm));
        }
        match &operation.kind {
            Kind::Providers => {
                let held: Vec<_> = self.store.providers(now, key, 0).collect();
                for (_, provider) in held {
                    let peer = Peer { address: provider.addr, transports: provider.transports.0 };
                    self.take_provider(id, &mut operation, own, peer);
                }
            }
            Kind::Search { query, .. } => {
                let filter = query.filter().clone();
                let held = self.store.search(now, key, &filter, 0);
                let held: Vec<_> = held.map(|(_, entry)| entry.clone()).collect();
                for entry in held {
                    self.take_hit(id, &mut operation, own, entry);
                }
            }
            Kind::Get { newer_than, .. } => {
                let newer_than = *newer_than;
                let held = self.held_item(now, key);
                // An immutable value is as new as any.
                let fits = |item: &Item| {
                    newer_than.is_none_or(|than| item.seq().is_none_or(|seq| seq > than))
                };
                if let Some(item) = held.filter(fits) {
                    self.found_item(id, &mut operation, item, own);
                }
            }
            _ => {}
        }
        self.operations.insert(id, operation);
    }

    /// A copy for the closest contact that did not have the value (section 4.1), with a lifetime
    /// that halves for every node between it and the key.
    fn copy_to_path(&mut self, operation: &Operation, value: &Value) {
        if !self.config.path_copies {
            return;
        }
        let mut answered = operation.lookup.closest().map(|found| found.contact);
        let nearest = answered.by_ref().zip(0_u32..).find_map(|(contact, between)| {
            let token = operation.tokens.get(&(contact.id, contact.addr()))?;
            Some((contact, between, token))
        });
        let Some((contact, between, token)) = nearest else { return };
        let lifetime = Some(secs(self.config.store.copy_lifetime(between)));
        let item = WireItem::Immutable(value.as_bytes());
        let method = Method::Put { token, item, cas: None, age: 0, lifetime };
        let query = Query::about(operation.target, method);
        self.ask(self.now, contact.path, Some(contact.id), query, Purpose::Forward);
    }
}

/// A signed value as it arrived, under the salt it is looked for with.
pub(super) fn read_signed(
    form: Form,
    signed: &SignedItem<'_>,
    salt: &[u8],
) -> Result<SignedValue, InvalidRecord> {
    let SignedItem { public_key, seq, value, signature, extra, .. } = *signed;
    SignedValue::of(form, *public_key, salt, seq, value, *signature, extra)
}
