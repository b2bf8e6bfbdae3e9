//! What is installed on the node: modules, grants, and what follows from their schemas: routes and reach.
//!
//! A [`Catalogue`] never changes: every catalogue change makes a new one, and a turn runs whole under the one of its seq.
//! Reach and routes come from schemas, bindings and subscriptions, never from running code; how is in `catalogue/routes.rs`
//! and `catalogue/reach.rs`.

pub(crate) mod fingerprints;

pub(crate) mod present;

mod routes;

mod reach;

mod views;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    schema::{ModuleSchema, Version, Visibility},
    text::quoted,
    wire::{ModuleState, Standing},
};
use interstice_host::schema::View;

use self::{
    fingerprints::Fingerprints,
    present::{PresentModules, present},
    reach::closure,
    routes::{ConnectionSubscribers, subscriptions},
};
use crate::{module::home::ModuleAddress, one_or_more::OneOrMore, supervisor::grants::Grants};

/// A module's place in one catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModuleIndex(pub(crate) u32);

impl ModuleIndex {
    /// For indexing.
    pub(crate) fn place(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What a catalogue knows of a module, before anything is derived.
#[derive(Clone)]
pub(crate) struct Installed<A = ModuleAddress> {
    /// Its schema.
    pub(crate) schema: Arc<ModuleSchema>,
    /// What its clients' bytes are checked by.
    pub(crate) fingerprints: Arc<Fingerprints>,
    /// BLAKE3 of its binary.
    pub(crate) hash: [u8; 32],
    /// Whether it serves.
    pub(crate) state: ModuleState,
    /// What it may do.
    pub(crate) grants: Grants,
    /// The turn that installed this version.
    pub(crate) since: Seq,
    /// The arbiter that its actor runs on.
    pub(crate) place: usize,
    /// Where it is reached: its actor, or, for replay, the module itself.
    pub(crate) address: A,
}

/// A module of a catalogue, with what follows.
pub(crate) struct Entry<A = ModuleAddress> {
    /// What is installed.
    pub(crate) installed: Installed<A>,
    /// Every module that a turn which starts here may touch: call dependencies and subscribers, closed over; itself first.
    pub(crate) reach: Arc<[ModuleIndex]>,
    /// Every module that a query which starts here may touch: call dependencies, closed over; itself first.
    pub(crate) query_reach: Arc<[ModuleIndex]>,
    /// Who reacts to rows of table t: `rows[t][event]`.
    rows: Vec<[Vec<Subscriber>; 3]>,
    /// Who reacts to calls, by reducer.
    calls: HashMap<String, Vec<Subscriber>>,
    /// How it sees modules that have grown since it was compiled against them.
    views: Vec<(ModuleName, Arc<View>)>,
}

/// A reducer that is told of something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    /// Its module's name: the first key of the order.
    pub(crate) name: ModuleName,
    /// Its name: the second.
    pub(crate) reducer: Arc<str>,
    /// Its module.
    pub(crate) module: ModuleIndex,
}

/// The modules of a node and how they hang together.
pub(crate) struct Catalogue<A = ModuleAddress> {
    entries: Vec<Entry<A>>,
    by_name: BTreeMap<ModuleName, ModuleIndex>,
    /// How many modules are public.
    public: usize,
    /// What requests about the past know of the modules.
    present: Arc<PresentModules>,
    /// Who reacts to connections.
    connections: ConnectionSubscribers,
}

impl<A> Catalogue<A> {
    /// Derives routes and reach. Modules that do not serve are there, but nothing leads to them.
    pub(crate) fn new(modules: BTreeMap<ModuleName, Installed<A>>) -> Arc<Self> {
        let by_name: BTreeMap<ModuleName, ModuleIndex> = modules
            .keys()
            .zip(0..)
            .map(|(name, place)| (name.clone(), ModuleIndex(place)))
            .collect();
        let installed: Vec<Installed<A>> = modules.into_values().collect();
        let mut entries: Vec<Entry<A>> = installed
            .into_iter()
            .map(|installed| Entry {
                rows: installed
                    .schema
                    .tables
                    .iter()
                    .map(|_| Default::default())
                    .collect(),
                calls: HashMap::new(),
                reach: Arc::new([]),
                query_reach: Arc::new([]),
                views: Vec::new(),
                installed,
            })
            .collect();
        let subscriptions = subscriptions(&entries, &by_name);
        let mut wakes: Vec<BTreeSet<ModuleIndex>> =
            entries.iter().map(|_| BTreeSet::new()).collect();
        for subscription in subscriptions {
            if let Some(woken) = wakes.get_mut(subscription.source.place()) {
                woken.insert(subscription.subscriber.module);
            }
            if let Some(entry) = entries.get_mut(subscription.source.place()) {
                entry.add(subscription);
            }
        }
        let calls: Vec<BTreeSet<ModuleIndex>> = entries
            .iter()
            .map(|entry| entry.dependencies(&by_name).collect())
            .collect();
        for index in 0..entries.len() {
            let start = ModuleIndex(u32::try_from(index).unwrap_or(u32::MAX));
            let reach = closure(start, &[&calls, &wakes]);
            let query_reach = closure(start, &[&calls]);
            let views = entries.get(index);
            let views = views.map(|entry| entry.find_views(&entries, &by_name));
            if let Some(entry) = entries.get_mut(index) {
                for subscribers in entry
                    .rows
                    .iter_mut()
                    .flatten()
                    .chain(entry.calls.values_mut())
                {
                    subscribers.sort();
                }
                entry.reach = reach;
                entry.query_reach = query_reach;
                entry.views = views.unwrap_or_default();
            }
        }
        let is_public = |entry: &&Entry<A>| entry.is_public();
        let public = entries.iter().filter(is_public).count();
        Arc::new(Self {
            present: present(&entries),
            connections: ConnectionSubscribers::new(&entries),
            entries,
            by_name,
            public,
        })
    }

    /// All modules in the order of their names.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (ModuleIndex, &Entry<A>)> {
        (0..).map(ModuleIndex).zip(&self.entries)
    }

    /// What requests about the past know of the modules, shared by all of them.
    pub(crate) fn present(&self) -> &Arc<PresentModules> {
        &self.present
    }

    /// How many modules there are, as far as a client of this standing may know.
    pub(crate) fn seen_by(&self, standing: Standing) -> usize {
        match standing {
            Standing::Owner => self.entries.len(),
            Standing::Guest => self.public,
        }
    }

    /// What is installed, to derive the next catalogue from.
    pub(crate) fn installed(&self) -> BTreeMap<ModuleName, Installed<A>>
    where
        A: Clone,
    {
        self.entries
            .iter()
            .map(|entry| (entry.installed.schema.name.clone(), entry.installed.clone()))
            .collect()
    }

    /// The module called `name`, which may carry `@major`.
    ///
    /// # Errors
    /// `NotFound` with the nearest name.
    pub(crate) fn find(&self, name: &str) -> Result<ModuleIndex, Failure> {
        self.find_among("module", name, |_| true)
    }

    /// As [`Catalogue::find`], among the modules that everybody may know of. A private one is no
    /// more there than one that is not installed, and no failure tells them apart.
    ///
    /// # Errors
    /// As [`Catalogue::find`].
    pub(crate) fn find_public(&self, name: &str) -> Result<ModuleIndex, Failure> {
        self.find_among("public module", name, Entry::is_public)
    }

    fn find_among(
        &self,
        kind: &str,
        name: &str,
        may_know: impl Fn(&Entry<A>) -> bool,
    ) -> Result<ModuleIndex, Failure> {
        let (bare, major) = match name.split_once('@') {
            None => (name, None),
            Some((bare, major)) => {
                let wrong = || {
                    Failure::new(
                        Code::BadArguments,
                        format!(
                            "`{}` does not name a major version; write `{}@1`",
                            quoted(name),
                            quoted(bare)
                        ),
                    )
                };
                (bare, Some(major.parse::<u32>().map_err(|_| wrong())?))
            }
        };
        let known = |index: &ModuleIndex| self.entry(*index).is_some_and(&may_know);
        let found = self.by_name.get(bare).copied().filter(known);
        let index = found.ok_or_else(|| {
            let all = self.by_name.iter().filter(|(_, index)| known(index));
            Failure::not_found(kind, bare, all.map(|(name, _)| name.as_str()))
        })?;
        let version = self
            .entry(index)
            .map_or(Version::default(), |entry| entry.installed.schema.version);
        match major {
            Some(major) if major != version.major => Err(Failure::new(
                Code::NotFound,
                format!(
                    "module `{bare}` is installed in version {version}, not in major version {major}"
                ),
            )),
            _ => Ok(index),
        }
    }

    /// The module at `index`.
    pub(crate) fn entry(&self, index: ModuleIndex) -> Option<&Entry<A>> {
        self.entries.get(index.place())
    }

    /// Every module that a turn with steps in `modules` may touch, in order, each once.
    pub(crate) fn reach_of(
        &self,
        mut modules: impl Iterator<Item = ModuleIndex>,
    ) -> OneOrMore<ModuleIndex> {
        let (first, second) = (modules.next(), modules.next());
        if let (Some(first), None) = (first, second)
            && let Some(&[reach]) = self.entry(first).map(|entry| &*entry.reach)
        {
            return OneOrMore::one(reach);
        }
        let modules = first.into_iter().chain(second).chain(modules);
        let mut reach: Vec<ModuleIndex> = modules
            .filter_map(|module| self.entry(module))
            .flat_map(|entry| entry.reach.iter().copied())
            .collect();
        reach.sort_unstable();
        reach.dedup();
        reach.into_iter().collect()
    }

    /// The module of exactly this name, which is mostly the one at `likely`.
    pub(crate) fn entry_of(&self, name: &ModuleName, likely: ModuleIndex) -> Option<&Entry<A>> {
        match self.entry(likely) {
            Some(entry) if entry.installed.schema.name == *name => Some(entry),
            _ => self.index_of(name).and_then(|index| self.entry(index)),
        }
    }

    /// The index of the module of exactly this name.
    pub(crate) fn index_of(&self, name: &ModuleName) -> Option<ModuleIndex> {
        self.by_name.get(name).copied()
    }
}

impl<A> Entry<A> {
    /// Whether everybody may know of it.
    pub(crate) fn is_public(&self) -> bool {
        self.installed.schema.visibility == Visibility::Public
    }

    /// Whether turns and queries may start here.
    pub(crate) fn serves(&self) -> bool {
        self.installed.state == ModuleState::Loaded
    }

    /// Whether its reducers run: it serves, or hears of what it has missed.
    pub(crate) fn runs(&self) -> bool {
        self.serves() || self.installed.state == ModuleState::CatchingUp
    }

    /// The reducer of this module that is subscribed to `event`, if any. Several are possible; all are returned.
    pub(crate) fn reducers_on(&self, event: &Event) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self
            .installed
            .schema
            .reducers
            .iter()
            .filter(|reducer| reducer.events.contains(event))
            .map(|reducer| reducer.name.as_str())
            .collect();
        names.sort_unstable();
        names.into_iter()
    }
}
