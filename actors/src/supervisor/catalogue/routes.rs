//! Routes: which reducers react to which rows and calls.
//!
//! A subscription counts only while its module serves, what it names is there and visible to it, and its grant was not taken
//! back. A module that catches up reacts to its own rows alone: what it is subscribed to elsewhere, it is handed later, from the
//! log. Subscribers are in the order of (module, reducer), which is the order of their reactions.

use std::collections::BTreeMap;

use interstice_abi::{
    event::{Event, RowEvent, TableRef},
    id::{ModuleName, TableId},
    schema::{Persistence, Visibility},
    wire::GrantTarget,
};

use super::{Catalogue, Entry, Installed, ModuleIndex, Subscriber};
use crate::history::{Heard, HeardBy};

/// Every reducer of a serving module that is subscribed to connections, by (module, reducer). They
/// are looked up once per catalogue: strangers connect as often as they like.
pub(super) struct ConnectionSubscribers {
    connect: Vec<Subscriber>,
    disconnect: Vec<Subscriber>,
}

impl ConnectionSubscribers {
    pub(super) fn new<A>(entries: &[Entry<A>]) -> Self {
        Self {
            connect: subscribers_of(entries, &Event::Connect),
            disconnect: subscribers_of(entries, &Event::Disconnect),
        }
    }
}

fn subscribers_of<A>(entries: &[Entry<A>], event: &Event) -> Vec<Subscriber> {
    let serving = (0..).map(ModuleIndex).zip(entries);
    let serving = serving.filter(|(_, entry)| entry.serves());
    let found = serving.flat_map(|(module, entry)| {
        let schema = &entry.installed.schema;
        let reducers = schema.reducers.iter();
        let subscribed = reducers.filter(|reducer| reducer.events.contains(event));
        subscribed.map(move |reducer| Subscriber {
            name: schema.name.clone(),
            reducer: reducer.name.as_str().into(),
            module,
        })
    });
    let mut found: Vec<Subscriber> = found.collect();
    found.sort();
    found
}

impl<A> Catalogue<A> {
    /// Who reacts to a node or client that connects, in order.
    pub(crate) fn connect_subscribers(&self) -> &[Subscriber] {
        &self.connections.connect
    }

    /// Who reacts to the end of a connection, in order.
    pub(crate) fn disconnect_subscribers(&self) -> &[Subscriber] {
        &self.connections.disconnect
    }

    /// The tables of other modules whose changes a module is handed when it has missed them, with its views of them.
    pub(crate) fn heard_by(&self, module: ModuleIndex) -> Vec<HeardBy> {
        let mut tables: BTreeMap<(ModuleIndex, TableId), Heard> = BTreeMap::new();
        let Some(entry) = self.entry(module) else {
            return Vec::new();
        };
        for subscription in subscriptions_of(module, entry, &self.entries, &self.by_name) {
            let Subscribed::Rows(id, event) = subscription.what else {
                continue;
            };
            let source = subscription.source;
            let provider = self.entry(source).filter(|_| source != module);
            let Some(provider) = provider.filter(|provider| !provider.is_ephemeral(id)) else {
                continue;
            };
            let known = tables.entry((source, id));
            let heard = known.or_insert_with(|| entry.heard_of(&provider.installed, id));
            if let Some(reducers) = heard.reducers.get_mut(event_place(event)) {
                reducers.push(subscription.subscriber.reducer);
            }
        }
        let with_view = |mut heard: Heard| {
            heard.reducers.iter_mut().for_each(|list| list.sort());
            let view = entry.view_of(&heard.provider).cloned();
            (heard, view)
        };
        tables.into_values().map(with_view).collect()
    }
}

impl<A> Entry<A> {
    /// Who reacts to this change of this table, in order.
    pub(crate) fn row_subscribers(&self, table: TableId, event: RowEvent) -> &[Subscriber] {
        let events = self.rows.get(usize::from(table.0));
        events
            .and_then(|events| events.get(event_place(event)))
            .map_or(&[], Vec::as_slice)
    }

    /// Who reacts to the call of this reducer, in order.
    pub(crate) fn call_subscribers(&self, reducer: &str) -> &[Subscriber] {
        self.calls.get(reducer).map_or(&[], Vec::as_slice)
    }

    /// Whether the table's rows are in memory only. Hidden tables are logged.
    pub(crate) fn is_ephemeral(&self, table: TableId) -> bool {
        let table = self.installed.schema.tables.get(usize::from(table.0));
        table.is_some_and(|table| table.persistence == Persistence::Ephemeral)
    }

    /// A table of `provider`, without the reducers that are handed its changes.
    fn heard_of(&self, provider: &Installed<A>, id: TableId) -> Heard {
        let name = &provider.schema.name;
        let table = provider.schema.tables.get(usize::from(id.0));
        let table = table.map_or_else(String::new, |table| table.name.clone());
        let gap = Event::Gap {
            table: TableRef {
                node: None,
                module: Some(name.to_string()),
                table: table.clone(),
            },
        };
        let target = GrantTarget::Subscriptions {
            module: name.to_string(),
        };
        let grants = self.installed.grants.entries().iter();
        let granted = grants.filter(|entry| entry.target == target);
        Heard {
            provider: name.clone(),
            since: provider.since,
            id,
            granted: granted.map(|entry| entry.since).max().unwrap_or_default(),
            reducers: Default::default(),
            gap: self.reducers_on(&gap).map(Into::into).collect(),
            table,
        }
    }

    /// Enters a subscription to something of this module.
    pub(super) fn add(&mut self, subscription: Subscription) {
        match subscription.what {
            Subscribed::Rows(table, event) => {
                if let Some(list) = self
                    .rows
                    .get_mut(usize::from(table.0))
                    .and_then(|events| events.get_mut(event_place(event)))
                {
                    list.push(subscription.subscriber);
                }
            }
            Subscribed::Calls(reducer) => self
                .calls
                .entry(reducer)
                .or_default()
                .push(subscription.subscriber),
        }
    }
}

/// A reducer that is subscribed to something of another module, or of its own.
pub(super) struct Subscription {
    pub(super) source: ModuleIndex,
    what: Subscribed,
    pub(super) subscriber: Subscriber,
}

/// What a subscription is to.
enum Subscribed {
    Rows(TableId, RowEvent),
    Calls(String),
}

/// Every subscription of a serving module to something of this node, as far as visibility and grants allow it; of one that catches
/// up, those to its own rows.
pub(super) fn subscriptions<A>(
    entries: &[Entry<A>],
    by_name: &BTreeMap<ModuleName, ModuleIndex>,
) -> Vec<Subscription> {
    let mut found = Vec::new();
    for (module, entry) in (0..)
        .map(ModuleIndex)
        .zip(entries)
        .filter(|(_, entry)| entry.runs())
    {
        let mut all = subscriptions_of(module, entry, entries, by_name);
        all.retain(|subscription| entry.serves() || subscription.source == module);
        found.append(&mut all);
    }
    found
}

/// Every subscription of a module, whether it serves or not.
fn subscriptions_of<A>(
    module: ModuleIndex,
    entry: &Entry<A>,
    entries: &[Entry<A>],
    by_name: &BTreeMap<ModuleName, ModuleIndex>,
) -> Vec<Subscription> {
    let mut found = Vec::new();
    let schema = &entry.installed.schema;
    for reducer in &schema.reducers {
        for event in &reducer.events {
            let Some((source, what)) = target(event, module, &schema.name, entries, by_name) else {
                continue;
            };
            let source_name = entries
                .get(source.place())
                .map(|entry| entry.installed.schema.name.to_string());
            let grant = GrantTarget::Subscriptions {
                module: source_name.unwrap_or_default(),
            };
            if source != module && entry.installed.grants.is_revoked(&grant) {
                continue;
            }
            let subscriber = Subscriber {
                name: schema.name.clone(),
                reducer: reducer.name.as_str().into(),
                module,
            };
            found.push(Subscription {
                source,
                what,
                subscriber,
            });
        }
    }
    found
}

/// What of this node `event` is about.
fn target<A>(
    event: &Event,
    own: ModuleIndex,
    own_name: &ModuleName,
    entries: &[Entry<A>],
    by_name: &BTreeMap<ModuleName, ModuleIndex>,
) -> Option<(ModuleIndex, Subscribed)> {
    match event {
        Event::Row { table, event } if table.node.is_none() => {
            let source = match &table.module {
                Some(module) if module.as_str() != own_name.as_str() => {
                    *by_name.get(module.as_str())?
                }
                _ => own,
            };
            let schema = &entries.get(source.place())?.installed.schema;
            let (id, found) = schema.table(&table.table)?;
            let allowed = source == own || found.visibility == Visibility::Public;
            allowed.then_some((source, Subscribed::Rows(id, *event)))
        }
        Event::Call { module, reducer } => {
            let source = *by_name.get(module.as_str())?;
            let schema = &entries.get(source.place())?.installed.schema;
            let found = schema.reducer(reducer)?;
            (source != own && found.is_callable())
                .then(|| (source, Subscribed::Calls(reducer.clone())))
        }
        _ => None,
    }
}

const fn event_place(event: RowEvent) -> usize {
    match event {
        RowEvent::Insert => 0,
        RowEvent::Update => 1,
        RowEvent::Delete => 2,
    }
}
