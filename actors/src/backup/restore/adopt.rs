//! What of a restored node is not as the backup says: its name, and one more owner.

use interstice_abi::id::NodeId;

use crate::config::Config;

/// What the restored node has instead of what the backup says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adopt<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// A key that is one of its owners, beside those of the backup. The backup holds the node's
    /// own key, so its holder could be the node anyway.
    pub owner: Option<&'a NodeId>,
}

impl Adopt<'_> {
    /// The configuration that the restored node gets, where it is not that of the backup.
    pub(super) fn changed(&self, config: &Config) -> Option<Config> {
        let mut changed = config.clone();
        if let Some(name) = self.name {
            changed.name = name.to_string();
        }
        if let Some(owner) = self.owner.filter(|owner| !config.owners.contains(owner)) {
            changed.owners.push(owner.clone());
        }
        (changed != *config).then_some(changed)
    }
}
