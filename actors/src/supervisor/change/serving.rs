//! Whether a module serves: unload, load again, quarantine, remove.
//!
//! Records come before effects: the input is in the log when the actor is told. Watches of a module that stops end with the
//! reason.

use interstice_abi::{
    failure::{Code, Failure},
    id::{ModuleName, Seq},
    wire::ModuleState,
};
use tokio::sync::oneshot;

use super::ChangeContext;
use crate::{
    module::{Order, gone},
    record::Input,
    supervisor::{
        Quarantine,
        catalogue::{Catalogue, Installed},
    },
};

impl ChangeContext {
    /// Stops a module that failed too often, unless it was stopped or replaced meanwhile.
    pub(super) async fn quarantine(&mut self, quarantine: Quarantine) -> Result<(), Failure> {
        let Quarantine {
            module,
            hash,
            reason,
        } = quarantine;
        let installed = self.catalogue.installed();
        let same = installed
            .get(&module)
            .filter(|found| found.hash == hash && found.state == ModuleState::Loaded);
        if same.is_none() {
            return Ok(());
        }
        let text = format!("the module is quarantined: it failed again and again; last: {reason}");
        self.shared.lines.error(Some(&module), None, &text);
        let input = Input::Quarantine {
            module: module.clone(),
            reason: reason.clone(),
        };
        self.set_state(&module, ModuleState::Quarantined { reason }, input)
            .await?;
        self.quarantined.push((module, hash));
        Ok(())
    }

    /// Stops a module: its instance, its ephemeral rows and its watches go, its other data stay.
    pub(super) async fn set_state(
        &mut self,
        module: &ModuleName,
        state: ModuleState,
        input: Input,
    ) -> Result<Seq, Failure> {
        let mut installed = self.catalogue.installed();
        let Some(found) = installed.get_mut(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        if found.state == state {
            return Err(Failure::new(
                Code::Rejected,
                format!("module `{module}` is not running"),
            ));
        }
        found.state = state;
        let address = found.address.clone();
        let seq = self.record(input)?;
        self.adopt(Catalogue::new(installed));
        self.forget_timers.push(module.clone());
        let (reset, done) = oneshot::channel();
        address.do_send(Order::Reset(reset));
        done.await.map_err(|_| gone(module))?;
        self.forget_timers.push(module.clone());
        let why = Failure::new(Code::Unavailable, format!("module `{module}` was stopped"));
        self.shared.watchers.end_module(module, &why);
        Ok(seq)
    }

    /// Marks a stopped module as serving.
    pub(super) fn begin_again(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        match installed.get_mut(module) {
            None => Err(Failure::not_found("module", module.as_str(), [])),
            Some(found) if found.state == ModuleState::Loaded => Err(Failure::new(
                Code::Rejected,
                format!("module `{module}` is running already"),
            )),
            Some(found) => {
                found.state = ModuleState::Loaded;
                self.adopt(Catalogue::new(installed));
                Ok(())
            }
        }
    }

    /// Removes a module with its data, unless another one needs it.
    pub(super) async fn remove(&mut self, module: &ModuleName) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        let needs = |other: &&Installed| {
            other.state == ModuleState::Loaded
                && other.schema.dependencies.iter().any(|dependency| {
                    dependency.node.is_none() && dependency.module == module.as_str()
                })
        };
        let dependents = installed.values().filter(needs);
        let dependents: Vec<String> = dependents
            .map(|other| format!("`{}`", other.schema.name))
            .collect();
        if !dependents.is_empty() {
            return Err(Failure::new(
                Code::SchemaConflict,
                format!(
                    "module `{module}` is needed by {}; unload or remove what needs it first",
                    dependents.join(", ")
                ),
            ));
        }
        let Some(removed) = installed.remove(module) else {
            return Err(Failure::not_found("module", module.as_str(), []));
        };
        self.record(Input::Remove {
            module: module.clone(),
        })?;
        self.adopt(Catalogue::new(installed));
        let (reply, handed_over) = oneshot::channel();
        removed.address.do_send(Order::HandOver(reply));
        // An actor that is gone already has nothing to hand over.
        if let Ok(core) = handed_over.await {
            self.shared.lane.discard(core);
        }
        self.forget_timers.push(module.clone());
        let why = Failure::new(Code::Unavailable, format!("module `{module}` was removed"));
        self.shared.watchers.end_module(module, &why);
        Ok(())
    }
}
