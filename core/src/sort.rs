//! Sorting by a key: by heap, as it is small and its worst case is its usual one.
//!
//! The standard library's sorts are faster where much is to be sorted, and 4 kB for every type in
//! what a page loads. What is sorted here is short, or in order already.

use alloc::vec::Vec;

/// Puts `items` in the order of their keys; those with equal ones stay in the order they are in.
pub(crate) fn sort_by_key<T: Copy, K: Ord + Copy>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut keys: Vec<(K, usize)> =
        items.iter().enumerate().map(|(at, item)| (key(item), at)).collect();
    if !keys.is_sorted() {
        sort(&mut keys);
        *items = keys.iter().filter_map(|(_, at)| items.get(*at).copied()).collect();
    }
}

/// The same without memory of its own, for some dozens at most: steps are counted by the square.
pub(crate) fn sort_few_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && key(&items[at]) < key(&items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

fn sort<K: Ord>(heap: &mut [K]) {
    for top in (0..heap.len() / 2).rev() {
        sink(heap, top);
    }
    for last in (1..heap.len()).rev() {
        heap.swap(0, last);
        sink(&mut heap[..last], 0);
    }
}

/// Makes a heap of what lies below `top`, whose children head heaps.
#[inline(never)]
fn sink<K: Ord>(heap: &mut [K], mut top: usize) {
    while let Some(left) = heap.get(2 * top + 1) {
        let is_right = heap.get(2 * top + 2).is_some_and(|right| right > left);
        let child = 2 * top + 1 + usize::from(is_right);
        if heap[top] >= heap[child] {
            return;
        }
        heap.swap(top, child);
        top = child;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_as_the_standard_library(
            mut items in proptest::collection::vec(any::<(u8, u32)>(), 0..300),
        ) {
            let mut model = items.clone();
            model.sort_by_key(|(key, _)| *key);
            let mut few = items.clone();
            sort_by_key(&mut items, |(key, _)| *key);
            sort_few_by_key(&mut few, |(key, _)| *key);
            prop_assert_eq!((items, few), (model.clone(), model));
        }
    }
}
