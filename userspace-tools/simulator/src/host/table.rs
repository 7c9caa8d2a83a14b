// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A table of a host that counts the work done in it: the entries that are compared to find one, and
//! those that are walked over. That is how the cost of a transaction is told without a clock.

use std::cell::Cell;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::RangeFrom;

/// An ordered table that counts its steps.
pub(super) struct Table<K, V> {
    entries: BTreeMap<K, V>,
    steps: Cell<u64>,
}

impl<K: Ord, V> Default for Table<K, V> {
    fn default() -> Self {
        Table {
            entries: BTreeMap::new(),
            steps: Cell::new(0),
        }
    }
}

impl<K: Ord + Copy, V> Table<K, V> {
    fn took(&self, steps: u64) {
        self.steps.set(self.steps.get() + steps);
    }

    /// A search takes the binary logarithm of the size.
    fn search(&self) {
        self.took(u64::from(usize::BITS - self.entries.len().leading_zeros()));
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.search();
        self.entries.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.search();
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.search();
        self.entries.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.search();
        self.entries.insert(key, value);
    }

    /// Inserts; if that makes the table longer than `limit`, another entry goes.
    pub(super) fn insert_within(&mut self, key: K, value: V, limit: usize) {
        self.make_room(&key, limit);
        self.insert(key, value);
    }

    /// The entry, made if it is not there; if that makes the table longer than `limit`, another goes.
    pub(super) fn within(&mut self, key: K, limit: usize, make: impl FnOnce() -> V) -> &mut V {
        self.make_room(&key, limit);
        self.search();
        self.entries.entry(key).or_insert_with(make)
    }

    fn make_room(&mut self, key: &K, limit: usize) {
        if self.entries.len() >= limit && !self.entries.contains_key(key) {
            self.entries.pop_first();
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.search();
        self.entries.remove(key)
    }

    /// Those from a key on; each that is looked at is a step.
    pub(super) fn range(&self, from: RangeFrom<K>) -> impl Iterator<Item = (&K, &V)> {
        self.search();
        self.entries.range(from).inspect(|_| self.took(1))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().inspect(|_| self.took(1))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K, V> IntoIterator for Table<K, V> {
    type Item = (K, V);
    type IntoIter = btree_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
