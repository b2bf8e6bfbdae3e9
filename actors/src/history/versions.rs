//! Which schema of a module held at a turn: that of the version which is installed now, or of an
//! older one, whose binary is still stored because a kept record or base names it.

use std::sync::Arc;

use interstice_abi::{
    id::{ModuleName, Seq},
    schema::ModuleSchema,
};

use super::{Around, SCHEMAS_MAX};

/// A version of a module.
pub(super) struct VersionAt {
    pub(super) hash: [u8; 32],
    pub(super) schema: Arc<ModuleSchema>,
}

impl Around {
    /// Whether the node remembers the module: the log or the oldest base has it.
    pub(super) fn knows(&self, module: &ModuleName) -> bool {
        self.marked(module).is_some() || self.shared.history.index().knows(module)
    }

    /// The version of `module` that held at turn `seq`; `None` when there was none, or its binary
    /// cannot be read any more.
    pub(super) fn version(&self, module: &ModuleName, seq: Seq) -> Option<VersionAt> {
        if let Some(present) = self.present.get(module)
            && present.since <= seq
        {
            return Some(VersionAt {
                hash: present.hash,
                schema: present.schema.clone(),
            });
        }
        let hash = {
            let index = self.shared.history.index();
            let arrivals = index.arrivals(module).iter().rev();
            let mut earlier = arrivals.filter(|arrival| arrival.seq <= seq);
            earlier.find_map(|arrival| arrival.hash)
        };
        let hash = hash.or_else(|| self.marked(module))?;
        let schema = self.schema(&hash)?;
        Some(VersionAt { hash, schema })
    }

    /// The schema of a stored binary.
    pub(super) fn schema(&self, hash: &[u8; 32]) -> Option<Arc<ModuleSchema>> {
        let present = self.present.values().find(|present| present.hash == *hash);
        if let Some(present) = present {
            return Some(present.schema.clone());
        }
        if let Some(schema) = self.shared.history.schemas().get(hash) {
            return Some(schema.clone());
        }
        let schema = match self.installer.schema(hash, &self.limits) {
            Ok(schema) => Arc::new(schema),
            Err(failure) => {
                let text = format!("history shows rows without their schema: {failure}");
                self.shared.lines.warn(None, None, &text);
                return None;
            }
        };
        let mut schemas = self.shared.history.schemas();
        if schemas.len() >= SCHEMAS_MAX {
            schemas.clear();
        }
        schemas.insert(*hash, schema.clone());
        Some(schema)
    }
}
