//! What the requests of one batch have in common, so that it is looked up once, and counted by
//! itself: see [`Apart`].

use std::sync::Arc;

use interstice_abi::{fingerprint::Fingerprint, id::ModuleName, wire::Standing};
use interstice_host::module::CallKind;

use crate::{
    apart::Apart,
    supervisor::{
        Supervisor,
        catalogue::{Catalogue, ModuleIndex},
    },
};

/// What a batch of requests has in common.
pub(crate) struct Batched {
    catalogue: Apart<Catalogue>,
    /// When it was taken up, in milliseconds since 1970.
    now_ms: u64,
    /// What was called last, and found to be there for whoever asked: mostly that is called next,
    /// too.
    called: Option<Known>,
}

/// A function that may be called.
struct Known {
    kind: CallKind,
    standing: Standing,
    called: Called,
}

/// A function, by its place and its names.
#[derive(Clone)]
pub(super) struct Called {
    pub(super) index: ModuleIndex,
    pub(super) module: ModuleName,
    pub(super) function: Arc<str>,
    /// What its callers must have encoded their arguments by.
    pub(super) signature: Option<Fingerprint>,
}

impl Known {
    /// Whether a client of this standing may call this, as far as is known. What is parked behind
    /// a change may be of another client than the batch.
    fn is(&self, kind: CallKind, standing: Standing, (module, function): (&str, &str)) -> bool {
        (self.kind, self.standing) == (kind, standing)
            && self.called.module.as_str() == module
            && *self.called.function == *function
    }
}

impl Batched {
    /// Of a batch that is taken up at `now_ms`.
    pub(super) fn new(catalogue: &Arc<Catalogue>, now_ms: u64) -> Self {
        Self {
            catalogue: Apart::new(catalogue.clone()),
            now_ms,
            called: None,
        }
    }
}

impl Supervisor {
    /// The batch that is worked on, unless the catalogue has changed meanwhile.
    fn batch(&mut self) -> Option<&mut Batched> {
        let batched = self.batched.as_mut()?;
        Arc::ptr_eq(batched.catalogue.shared(), &self.catalogue).then_some(batched)
    }

    /// The catalogue, for one more turn or query.
    pub(crate) fn batched_catalogue(&mut self) -> Apart<Catalogue> {
        match self.batch() {
            Some(batched) => batched.catalogue.clone(),
            None => Apart::new(self.catalogue.clone()),
        }
    }

    /// The node's time, in milliseconds since 1970, read once per batch.
    pub(crate) fn batched_ms(&self) -> u64 {
        self.batched
            .as_ref()
            .map_or_else(|| self.shared.now_ms(), |batched| batched.now_ms)
    }

    /// What a client of this standing calls, if it was found to be there for the one before.
    pub(super) fn known(
        &mut self,
        kind: CallKind,
        standing: Standing,
        (module, function): (&str, &str),
    ) -> Option<Called> {
        let known = self.batch()?.called.as_ref()?;
        let is_it = known.is(kind, standing, (module, function));
        is_it.then(|| known.called.clone())
    }

    /// What a client of this standing calls, which is there.
    pub(super) fn found(
        &mut self,
        kind: CallKind,
        standing: Standing,
        index: ModuleIndex,
        (function, signature): (String, Option<Fingerprint>),
    ) -> Called {
        let module = self.name_of(index);
        let function = function.into();
        let Some(batched) = self.batch() else {
            return Called {
                index,
                module,
                function,
                signature,
            };
        };
        let called = Called {
            index,
            module: module.apart(),
            function,
            signature,
        };
        batched.called = Some(Known {
            kind,
            standing,
            called: called.clone(),
        });
        called
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_client_may_call_says_nothing_of_others_nor_of_other_functions() {
        let known = Known {
            kind: CallKind::Reducer,
            standing: Standing::Owner,
            called: Called {
                index: ModuleIndex(0),
                module: ModuleName::new("bank").expect("a name"),
                function: "pay".into(),
                signature: None,
            },
        };
        let owner = Standing::Owner;
        assert!(known.is(CallKind::Reducer, owner, ("bank", "pay")));
        assert!(!known.is(CallKind::Reducer, Standing::Guest, ("bank", "pay")));
        assert!(!known.is(CallKind::Query, owner, ("bank", "pay")));
        assert!(!known.is(CallKind::Reducer, owner, ("vault", "pay")));
        assert!(!known.is(CallKind::Reducer, owner, ("bank@1", "pay")));
        assert!(!known.is(CallKind::Reducer, owner, ("bank", "take")));
    }
}
