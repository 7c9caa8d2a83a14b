// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the kernel calls by numbers: the files that it knows, and by which paths the server does.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use crate::protocol::Identity;

/// The number of the exported directory.
pub(crate) const ROOT: u64 = 1;

/// A name in a directory.
type Place = (u64, OsString);

#[derive(Debug)]
struct Node {
    identity: Identity,
    /// Hard links are several. The path is the last one's: it was seen last.
    places: Vec<Place>,
    /// How often the kernel was told of it.
    lookups: u64,
}

/// The files that the kernel knows.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: HashMap<u64, Node>,
    by_identity: HashMap<Identity, u64>,
    by_place: HashMap<Place, u64>,
    next: u64,
}

impl Nodes {
    pub(crate) fn new(root: Identity) -> Nodes {
        let node = Node {
            identity: root,
            places: Vec::new(),
            lookups: 1,
        };
        Nodes {
            nodes: HashMap::from([(ROOT, node)]),
            by_identity: HashMap::from([(root, ROOT)]),
            by_place: HashMap::new(),
            next: ROOT + 1,
        }
    }

    /// The kernel is told of what is at this place: its number.
    pub(crate) fn look_up(&mut self, parent: u64, name: &OsStr, identity: Identity) -> u64 {
        let place = (parent, name.to_owned());
        let number = *self.by_identity.entry(identity).or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            self.nodes.insert(
                number,
                Node {
                    identity,
                    places: Vec::new(),
                    lookups: 0,
                },
            );
            number
        });
        self.vacate(parent, name); // Also if it is known there: of several places the last is used.
        self.occupy(number, place);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.lookups += 1;
        }
        number
    }

    /// The kernel forgets so many of the times that it was told.
    pub(crate) fn forget(&mut self, number: u64, lookups: u64) {
        let Some(node) = self.nodes.get_mut(&number).filter(|_| number != ROOT) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups == 0 {
            if let Some(node) = self.nodes.remove(&number) {
                self.by_identity.remove(&node.identity);
                for place in node.places {
                    self.by_place.remove(&place);
                }
            }
        }
    }

    /// Nothing is at this place any more.
    pub(crate) fn vacate(&mut self, parent: u64, name: &OsStr) {
        let place = (parent, name.to_owned());
        if let Some(number) = self.by_place.remove(&place) {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.places.retain(|other| *other != place);
            }
        }
    }

    fn occupy(&mut self, number: u64, place: Place) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.places.push(place.clone());
            self.by_place.insert(place, number);
        }
    }

    /// What was at one place is at the other; with `exchange` also the other way round.
    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), exchange: bool) {
        let place = |(parent, name): (u64, &OsStr)| (parent, name.to_owned());
        let moved = self.by_place.get(&place(from)).copied();
        let other = self.by_place.get(&place(to)).copied();
        self.vacate(from.0, from.1);
        self.vacate(to.0, to.1);
        if let Some(moved) = moved {
            self.occupy(moved, place(to));
        }
        if let Some(other) = other.filter(|_| exchange) {
            self.occupy(other, place(from));
        }
    }

    /// Which of the server's files it is.
    pub(crate) fn identity(&self, number: u64) -> Option<Identity> {
        self.nodes.get(&number).map(|node| node.identity)
    }

    /// A path by which the server knows it; none if it has no name any more.
    pub(crate) fn path(&self, number: u64) -> Option<OsString> {
        let mut names = Vec::new();
        let mut at = number;
        while at != ROOT {
            let (parent, name) = self.nodes.get(&at)?.places.last()?;
            names.push(name.as_os_str());
            at = *parent;
            // Others may have moved directories into each other, as this host saw it.
            if names.len() > self.nodes.len() {
                return None;
            }
        }
        names.reverse();
        Some(names.join(OsStr::new("/")))
    }

    /// The path of a name in a directory.
    pub(crate) fn path_in(&self, parent: u64, name: &OsStr) -> Option<OsString> {
        let mut path = self.path(parent)?;
        if !path.is_empty() {
            path.push("/");
        }
        path.push(name);
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn identity(number: u64) -> Identity {
        (1, number, 0, 0)
    }

    fn path(nodes: &Nodes, number: u64) -> Option<String> {
        nodes.path(number).map(|path| path.into_string().unwrap())
    }

    #[test]
    fn a_renamed_directory_takes_its_content_along() {
        let mut nodes = Nodes::new(identity(0));
        let dir = nodes.look_up(ROOT, os("dir"), identity(1));
        let file = nodes.look_up(dir, os("file"), identity(2));
        assert_eq!(path(&nodes, file), Some("dir/file".into()));
        nodes.rename((ROOT, os("dir")), (ROOT, os("new")), false);
        assert_eq!(path(&nodes, file), Some("new/file".into()));
        assert_eq!(nodes.path_in(dir, os("x")), Some("new/x".into()));
        assert_eq!(path(&nodes, ROOT), Some("".into()));
    }

    #[test]
    fn hard_links_are_one_file_until_the_last_name_goes() {
        let mut nodes = Nodes::new(identity(0));
        let a = nodes.look_up(ROOT, os("a"), identity(1));
        assert_eq!(nodes.look_up(ROOT, os("b"), identity(1)), a);
        nodes.vacate(ROOT, os("b"));
        assert_eq!(path(&nodes, a), Some("a".into()));
        nodes.vacate(ROOT, os("a"));
        assert_eq!(path(&nodes, a), None);
        nodes.forget(a, 2);
        assert_ne!(nodes.look_up(ROOT, os("a"), identity(1)), a);
    }

    #[test]
    fn of_hard_links_the_one_that_was_seen_last_is_the_path() {
        let mut nodes = Nodes::new(identity(0));
        let a = nodes.look_up(ROOT, os("a"), identity(1));
        nodes.look_up(ROOT, os("b"), identity(1));
        assert_eq!(path(&nodes, a), Some("b".into()));
        nodes.look_up(ROOT, os("a"), identity(1));
        assert_eq!(path(&nodes, a), Some("a".into()));
        nodes.vacate(ROOT, os("a"));
        assert_eq!(path(&nodes, a), Some("b".into()));
    }

    #[test]
    fn what_is_replaced_has_its_name_no_more() {
        let mut nodes = Nodes::new(identity(0));
        let old = nodes.look_up(ROOT, os("a"), identity(1));
        let new = nodes.look_up(ROOT, os("b"), identity(2));
        nodes.rename((ROOT, os("b")), (ROOT, os("a")), false);
        assert_eq!(
            (path(&nodes, old), path(&nodes, new)),
            (None, Some("a".into()))
        );
        // Another client's doing is seen at the next look.
        let third = nodes.look_up(ROOT, os("a"), identity(3));
        assert_eq!(
            (path(&nodes, new), path(&nodes, third)),
            (None, Some("a".into()))
        );
        let fourth = nodes.look_up(ROOT, os("d"), identity(4));
        nodes.rename((ROOT, os("a")), (ROOT, os("d")), true);
        assert_eq!(
            (path(&nodes, third), path(&nodes, fourth)),
            (Some("d".into()), Some("a".into()))
        );
    }

    #[test]
    fn nothing_remains_of_what_is_forgotten() {
        let mut nodes = Nodes::new(identity(0));
        let a = nodes.look_up(ROOT, os("a"), identity(1));
        nodes.look_up(ROOT, os("a"), identity(1));
        nodes.forget(a, 1);
        assert_eq!(path(&nodes, a), Some("a".into()));
        nodes.forget(a, 1);
        assert_eq!(
            (
                nodes.nodes.len(),
                nodes.by_place.len(),
                nodes.by_identity.len()
            ),
            (1, 0, 1)
        );
        nodes.forget(ROOT, u64::MAX);
        assert_eq!(path(&nodes, ROOT), Some("".into()));
    }

    #[test]
    fn directories_within_each_other_have_no_path() {
        let mut nodes = Nodes::new(identity(0));
        let a = nodes.look_up(ROOT, os("a"), identity(1));
        let b = nodes.look_up(a, os("b"), identity(2));
        nodes.vacate(ROOT, os("a"));
        nodes.look_up(b, os("a"), identity(1));
        assert_eq!(path(&nodes, b), None);
    }
}
