//! Public reducers that set timers for themselves, as a binary's exports say.
//!
//! Each call of one starts another chain of timers, and in a public module anybody may call it.
//! The SDK's macros write an export for each timer that a reducer's body sets by name
//! ([`SCHEDULES_PREFIX`]), and one that says that the module is public ([`PUBLIC_EXPORT`]);
//! binaries without these exports have nothing to say here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use interstice_abi::host_call::{PUBLIC_EXPORT, SCHEDULES_PREFIX};
use wasmparser::{Parser, Payload};

/// The timers that the reducers of a binary set.
#[derive(Default)]
struct Timers<'a> {
    /// Whether the module is public.
    is_public: bool,
    /// From the reducer that sets a timer to the one that it runs.
    sets: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The reducers among them that others may call.
    public: BTreeSet<&'a str>,
}

/// Every public reducer of the public module `wasm` that sets a timer for itself, with the
/// reducers by way of which it does so, if any. Nothing for what is not a module.
#[must_use]
pub fn public_timers(wasm: &[u8]) -> Vec<Vec<String>> {
    let timers = Timers::of(wasm);
    if !timers.is_public {
        return Vec::new();
    }
    let public = timers.public.iter();
    public
        .filter_map(|reducer| timers.way_back(reducer))
        .collect()
}

impl<'a> Timers<'a> {
    fn of(wasm: &'a [u8]) -> Self {
        let mut timers = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::ExportSection(exports)) => {
                    exports
                        .into_iter()
                        .flatten()
                        .for_each(|export| timers.add(export.name));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        timers
    }

    fn add(&mut self, export: &'a str) {
        self.is_public |= export == PUBLIC_EXPORT;
        let parts = export.strip_prefix(SCHEDULES_PREFIX);
        let parts: Vec<&str> = parts
            .into_iter()
            .flat_map(|parts| parts.split(':'))
            .collect();
        if let [who, reducer, target] = parts.as_slice() {
            self.sets.entry(reducer).or_default().insert(target);
            if *who == "public" {
                self.public.insert(reducer);
            }
        }
    }

    /// The shortest way from `reducer` over the timers back to itself: the reducers on it, itself
    /// first.
    fn way_back(&self, reducer: &str) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut ways = VecDeque::from([vec![reducer]]);
        while let Some(way) = ways.pop_front() {
            let targets = way.last().and_then(|last| self.sets.get(last));
            for target in targets.into_iter().flatten().copied() {
                if target == reducer {
                    return Some(way.into_iter().map(String::from).collect());
                }
                if seen.insert(target) {
                    ways.push_back(way.iter().copied().chain([target]).collect());
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(marks: &[&str], expected: &[&[&str]]) {
        let marks = marks.iter().map(|mark| format!("{SCHEDULES_PREFIX}{mark}"));
        let exports: Vec<String> = marks.collect();
        let module = |exports: &[String]| {
            let functions = exports.iter();
            let functions: Vec<String> = functions
                .map(|name| format!("(func (export \"{name}\"))"))
                .collect();
            wat::parse_str(format!("(module {})", functions.join(" "))).expect("it is a module")
        };
        assert!(
            public_timers(&module(&exports)).is_empty(),
            "a private module"
        );
        let public: Vec<String> = [PUBLIC_EXPORT.to_string()]
            .into_iter()
            .chain(exports)
            .collect();
        assert_eq!(public_timers(&module(&public)), expected, "{public:?}");
    }

    #[test]
    fn public_reducers_that_lead_back_to_themselves_are_found() {
        check(&["public:tick:tick"], &[&["tick"]]);
        check(&["public:a:b", "private:b:a"], &[&["a", "b"]]);
        check(&["public:a:b", "public:b:a"], &[&["a", "b"], &["b", "a"]]);
        check(
            &["public:a:b", "private:b:c", "private:c:c", "private:c:a"],
            &[&["a", "b", "c"]],
        );
    }

    #[test]
    fn private_reducers_and_chains_that_end_are_no_matter() {
        check(&["private:tick:tick"], &[]);
        check(&["public:start:tick", "private:tick:tick"], &[]);
        check(&["public:a:b", "public:b:c"], &[]);
        check(&["something else", "public:a"], &[]);
        assert!(public_timers(b"not a module").is_empty());
    }
}
