//! Whether a module serves: unload, load again, quarantine, remove.
//!
//! Records come before effects: the input is in the log when the actor is told. Watches of a module that stops end with the
//! reason.

use interstice_abi::{
    failure::{Code, Failure},
    fingerprint::Fingerprint,
    id::{ModuleName, Seq},
    schema::Persistence,
    wire::ModuleState,
};
use tokio::sync::oneshot;

use super::{ChangeContext, WhenNeeded};
use crate::{
    module::{Order, gone, watch::watchers::Upgraded},
    record::Input,
    recovery::of_module,
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

    /// The running modules that need `module`, those first that others of them need.
    fn dependents(&self, module: &ModuleName) -> Vec<ModuleName> {
        let needs = |other: &Installed| {
            let mut dependencies = other.schema.dependencies.iter();
            other.schema.name != *module
                && dependencies.any(|dependency| {
                    dependency.node.is_none() && dependency.module == module.as_str()
                })
        };
        let running = self.catalogue.in_order_of_dependencies().into_iter();
        let running = running.filter_map(|index| self.catalogue.entry(index));
        running
            .filter(|entry| needs(&entry.installed))
            .map(|entry| entry.installed.schema.name.clone())
            .collect()
    }

    /// A module that running ones need is stopped only when that is asked for; their names are in the refusal, or in the log.
    pub(super) fn check_unload(
        &self,
        module: &ModuleName,
        when_needed: WhenNeeded,
    ) -> Result<(), Failure> {
        let dependents = self.dependents(module);
        let first = dependents.first();
        let Some(first) = first else {
            return Ok(());
        };
        let names = listed(&dependents);
        match when_needed {
            WhenNeeded::Refuse => Err(Failure::new(
                Code::SchemaConflict,
                format!(
                    "module `{module}` is needed by {names}; unload what needs it first (`unload <node> {first}`), or give \
                     `--force`: then their calls and reads of it fail until it is loaded again"
                ),
            )),
            WhenNeeded::Unload => {
                let text = format!("{names} need this module and fail until it is loaded again");
                self.shared.lines.warn(Some(module), None, &text);
                Ok(())
            }
        }
    }

    /// Runs `load` again in the running modules that need one that was stopped and is back. What goes wrong there is in their logs.
    pub(in crate::supervisor) async fn load_dependents(
        &mut self,
        module: &ModuleName,
    ) -> Result<(), Failure> {
        for dependent in self.dependents(module) {
            // A load empties ephemeral tables, which no change tells.
            let installed = self.catalogue.installed();
            let schema = installed.get(&dependent).map(|found| found.schema.clone());
            let changed = |table: &str, _: Option<Fingerprint>| {
                let found = schema.as_ref().and_then(|schema| schema.table(table));
                match found {
                    Some((_, table)) if table.persistence == Persistence::Ephemeral => {
                        Upgraded::Empty
                    }
                    _ => Upgraded::Same,
                }
            };
            let (watchers, log) = (&self.shared.watchers, &self.shared.log);
            watchers.end_changed(log, &dependent, changed);
            // A failing `load` is reported in the module's log, and the module stays.
            let _ = self.load(&dependent).await?;
        }
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

    /// Sees to it that a module which is to start can run. One that the node has started without has no code; its binary may
    /// have been put back meanwhile.
    pub(super) async fn add_code(&self, installed: &Installed) -> Result<(), Failure> {
        let name = &installed.schema.name;
        let (reply, binary) = oneshot::channel();
        installed.address.do_send(Order::Binary(reply));
        let binary = binary.await.map_err(|_| gone(name))?;
        if binary.has_code() {
            return Ok(());
        }
        let (installer, limits) = (self.installer.clone(), self.config.limits.clone());
        let compiling = tokio::task::spawn_blocking(move || installer.add_code(&binary, &limits));
        let compiled = compiling.await.map_err(|panic| {
            Failure::internal(format!("compiling the module has panicked: {panic}"))
        })?;
        compiled.map_err(|failure| of_module(name, failure))
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
    pub(in crate::supervisor) async fn remove(
        &mut self,
        module: &ModuleName,
    ) -> Result<(), Failure> {
        let mut installed = self.catalogue.installed();
        let dependents = self.dependents(module);
        if !dependents.is_empty() {
            return Err(Failure::new(
                Code::SchemaConflict,
                format!(
                    "module `{module}` is needed by {}; unload or remove what needs it first",
                    listed(&dependents)
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

fn listed(names: &[ModuleName]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
