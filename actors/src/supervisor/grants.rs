//! What a module may do: its rows of the table of grants.
//!
//! Deploy grants what the schema asks for; `grant` and `revoke` change it from a turn on. A
//! revoked entry stays, so that the history can be read. What is not in the table was never asked
//! for, and cannot be granted: the guest's code has no way to use it.

use interstice_abi::{
    event::{Event, TableRef},
    failure::{Code, Failure},
    id::Seq,
    schema::{Access, ModuleSchema},
    wire::{GrantChange, GrantEntry, GrantTarget, Subject},
};
use serde::{Deserialize, Serialize};

/// The grants of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grants {
    entries: Vec<GrantEntry>,
}

impl Grants {
    /// What `schema` asks for, from `seq` on. What was revoked for the module before stays revoked.
    pub(crate) fn asked_by(schema: &ModuleSchema, seq: Seq, before: Option<&Self>) -> Self {
        let mut wanted: Vec<(Subject, GrantTarget)> = vec![
            (Subject::Module, GrantTarget::Time),
            (Subject::Module, GrantTarget::Logging),
        ];
        wanted.extend(
            schema
                .authorities
                .iter()
                .map(|authority| (Subject::Module, GrantTarget::Authority(*authority))),
        );
        for dependency in schema
            .dependencies
            .iter()
            .filter(|dependency| dependency.node.is_none())
        {
            wanted.push((
                Subject::Module,
                GrantTarget::Calls {
                    module: dependency.module.clone(),
                },
            ));
        }
        let functions = schema
            .reducers
            .iter()
            .map(|reducer| (&reducer.name, &reducer.capabilities))
            .chain(
                schema
                    .queries
                    .iter()
                    .map(|query| (&query.name, &query.capabilities)),
            );
        for (name, capabilities) in functions {
            wanted.extend(capabilities.iter().map(|capability| {
                let target = GrantTarget::Table {
                    table: capability.table.clone(),
                    access: capability.access,
                };
                (Subject::Function(name.clone()), target)
            }));
        }
        for event in schema.reducers.iter().flat_map(|reducer| &reducer.events) {
            let module = match event {
                Event::Row {
                    table:
                        TableRef {
                            node: None,
                            module: Some(module),
                            ..
                        },
                    ..
                }
                | Event::Call { module, .. } => module,
                _ => continue,
            };
            if module != schema.name.as_str() {
                wanted.push((
                    Subject::Module,
                    GrantTarget::Subscriptions {
                        module: module.clone(),
                    },
                ));
            }
        }
        wanted.sort();
        wanted.dedup();
        let mut entries: Vec<GrantEntry> = Vec::new();
        for (subject, target) in wanted {
            let known = before
                .map(|grants| grants.entries.as_slice())
                .unwrap_or_default();
            carry_over(known, subject, target, seq, &mut entries);
        }
        entries.sort_by(|a, b| (&a.subject, &a.target).cmp(&(&b.subject, &b.target)));
        Self { entries }
    }

    /// All entries, sorted by subject and target.
    pub(crate) fn entries(&self) -> &[GrantEntry] {
        &self.entries
    }

    /// Whether `target` was granted and taken back.
    pub(crate) fn is_revoked(&self, target: &GrantTarget) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.target == *target && entry.revoked.is_some())
    }

    /// Gives or takes `target` from `seq` on, in every entry that it covers. A table target covers
    /// all functions; its bits choose what is given or taken, and an entry loses only those.
    ///
    /// # Errors
    /// `NotFound` when the module never asked for it.
    pub(crate) fn change(
        &mut self,
        target: &GrantTarget,
        change: GrantChange,
        seq: Seq,
    ) -> Result<(), Failure> {
        let mut found = false;
        let mut split = Vec::new();
        for entry in &mut self.entries {
            let (covered, rest) = match (&entry.target, target) {
                (
                    GrantTarget::Table { table, access },
                    GrantTarget::Table {
                        table: wanted,
                        access: bits,
                    },
                ) if table == wanted => (Access(access.0 & bits.0), Access(access.0 & !bits.0)),
                (own, wanted) if own == wanted => (Access(u8::MAX), Access(0)),
                _ => continue,
            };
            if covered.0 == 0 {
                continue;
            }
            found = true;
            if let (GrantTarget::Table { table, access }, true) = (&mut entry.target, rest.0 != 0) {
                let mut untouched = entry_like(&entry.subject, table.clone(), rest);
                untouched.since = entry.since;
                untouched.revoked = entry.revoked;
                split.push(untouched);
                *access = covered;
            }
            match change {
                GrantChange::Grant if entry.revoked.is_some() => {
                    (entry.since, entry.revoked) = (seq, None)
                }
                GrantChange::Revoke if entry.revoked.is_none() => entry.revoked = Some(seq),
                GrantChange::Grant | GrantChange::Revoke => {}
            }
        }
        self.entries.append(&mut split);
        self.entries
            .sort_by(|a, b| (&a.subject, &a.target).cmp(&(&b.subject, &b.target)));
        if found {
            Ok(())
        } else {
            Err(Failure::new(
                Code::NotFound,
                "the module has never asked for that; `grants` lists what it holds",
            ))
        }
    }
}

/// Adds what is wanted: what was known of it stays given or revoked as it was, bit by bit for
/// tables; the rest is given.
fn carry_over(
    known: &[GrantEntry],
    subject: Subject,
    target: GrantTarget,
    seq: Seq,
    entries: &mut Vec<GrantEntry>,
) {
    let GrantTarget::Table { table, access } = &target else {
        let same = known
            .iter()
            .find(|entry| entry.subject == subject && entry.target == target);
        entries.push(same.cloned().unwrap_or(GrantEntry {
            subject,
            target,
            since: seq,
            revoked: None,
        }));
        return;
    };
    let mut fresh = access.0;
    for entry in known.iter().filter(|entry| entry.subject == subject) {
        let GrantTarget::Table {
            table: known_table,
            access: bits,
        } = &entry.target
        else {
            continue;
        };
        let both = Access(bits.0 & fresh);
        if known_table == table && both.0 != 0 {
            fresh &= !both.0;
            let target = GrantTarget::Table {
                table: table.clone(),
                access: both,
            };
            entries.push(GrantEntry {
                target,
                ..entry.clone()
            });
        }
    }
    if fresh != 0 {
        let mut entry = entry_like(&subject, table.clone(), Access(fresh));
        entry.since = seq;
        entries.push(entry);
    }
}

fn entry_like(subject: &Subject, table: TableRef, access: Access) -> GrantEntry {
    GrantEntry {
        subject: subject.clone(),
        target: GrantTarget::Table { table, access },
        since: Seq(0),
        revoked: None,
    }
}

#[cfg(test)]
mod tests {
    use interstice_abi::{
        id::ModuleName,
        schema::{ReducerSchema, TableAccess, Version, Visibility},
        types::TypeSet,
    };

    use super::*;

    fn schema(access: Access) -> ModuleSchema {
        ModuleSchema {
            abi_version: 1,
            name: ModuleName::new("m").expect("a name"),
            version: Version::default(),
            visibility: Visibility::Private,
            authorities: Vec::new(),
            replicated_tables: Vec::new(),
            dependencies: Vec::new(),
            tables: Vec::new(),
            reducers: vec![ReducerSchema {
                name: "r".into(),
                arguments: Vec::new(),
                events: Vec::new(),
                capabilities: vec![TableAccess {
                    table: table(),
                    access,
                }],
            }],
            queries: Vec::new(),
            types: TypeSet::default(),
        }
    }

    fn table() -> TableRef {
        TableRef {
            node: None,
            module: None,
            table: "t".into(),
        }
    }

    fn target(access: Access) -> GrantTarget {
        GrantTarget::Table {
            table: table(),
            access,
        }
    }

    fn bits(target: &GrantTarget) -> u8 {
        match target {
            GrantTarget::Table { access, .. } => access.0,
            _ => 0,
        }
    }

    fn revoked(grants: &Grants) -> u8 {
        let entries = grants
            .entries()
            .iter()
            .filter(|entry| entry.revoked.is_some());
        entries.map(|entry| bits(&entry.target)).sum()
    }

    #[test]
    fn what_was_revoked_stays_revoked_through_an_upgrade() {
        let both = Access::INSERT.with(Access::UPDATE);
        let mut grants = Grants::asked_by(&schema(both), Seq(1), None);
        grants
            .change(&target(Access::INSERT), GrantChange::Revoke, Seq(2))
            .expect("it holds it");
        assert_eq!(revoked(&grants), Access::INSERT.0);
        let wider = both.with(Access::DELETE);
        let grants = Grants::asked_by(&schema(wider), Seq(3), Some(&grants));
        assert_eq!(revoked(&grants), Access::INSERT.0);
        let held: u8 = grants
            .entries()
            .iter()
            .map(|entry| bits(&entry.target))
            .sum();
        assert_eq!(held, wider.0, "each bit once");
    }

    #[test]
    fn what_was_never_asked_for_cannot_be_granted() {
        let mut grants = Grants::asked_by(&schema(Access::READ), Seq(1), None);
        let refused = grants.change(&target(Access::INSERT), GrantChange::Grant, Seq(2));
        assert_eq!(refused.map_err(|failure| failure.code), Err(Code::NotFound));
    }
}
