//! The code of recovered modules. Their stored binaries may be missing or damaged, or not compile
//! on this machine.
//!
//! A module without code does not keep the node from starting: its tables and timers are there,
//! checkpoints and bases hold them, and it is quarantined. That is an input before all others of
//! this start, so recovery and replay know why nothing of it runs, also where a turn that a crash
//! cut off is finished. The same binary, deployed again or put back in its place, ends it.

use std::sync::Arc;

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    wire::ModuleState,
};
use interstice_host::wasm::Binary;

use crate::{
    config::Config,
    record::{Input, Record, StepRecord},
    recovery::RecoveredModule,
    shared::Shared,
    supervisor::{install::installer::Installer, stamp::Stamper},
};

/// What the reason of such a quarantine begins with.
const CANNOT_RUN: &str = "it cannot run: ";

/// Compiles the modules of a node that starts.
pub(super) struct Codes<'a> {
    installer: &'a Installer,
    shared: &'a Shared,
    config: &'a Config,
    stamper: &'a mut Stamper,
    healed: Vec<(ModuleName, [u8; 32])>,
}

impl<'a> Codes<'a> {
    pub(super) fn new(
        installer: &'a Installer,
        shared: &'a Shared,
        config: &'a Config,
        stamper: &'a mut Stamper,
    ) -> Self {
        Self {
            installer,
            shared,
            config,
            stamper,
            healed: Vec::new(),
        }
    }

    /// The binary of a module, with code where that can be had; else the module is quarantined.
    /// Blocks.
    ///
    /// # Errors
    /// When its schema contradicts itself.
    pub(super) fn of(
        &mut self,
        name: &ModuleName,
        module: &mut RecoveredModule,
    ) -> Result<Arc<Binary>, Failure> {
        let schema = module.tables.schema().clone();
        let binary = Binary::without_code(schema, module.hash)?;
        match self.installer.add_code(&binary, &self.config.limits) {
            Ok(()) => {
                let had_none = matches!(&module.state, ModuleState::Quarantined { reason } if reason.starts_with(CANNOT_RUN));
                if had_none {
                    self.healed.push((name.clone(), module.hash));
                }
            }
            Err(failure) => self.cannot_run(name, module, &failure)?,
        }
        Ok(Arc::new(binary))
    }

    /// The modules that had no code before this start and have it now, with the hash of their
    /// binary.
    pub(super) fn into_healed(self) -> Vec<(ModuleName, [u8; 32])> {
        self.healed
    }

    fn cannot_run(
        &mut self,
        name: &ModuleName,
        module: &mut RecoveredModule,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let text = format!(
            "the module cannot run, and the node starts without it: {failure}; its tables and timers stay as they are; deploy the \
             same binary again, or put its file back and `load` the module"
        );
        self.shared.lines.error(Some(name), None, &text);
        if matches!(
            module.state,
            ModuleState::Unloaded | ModuleState::Quarantined { .. }
        ) {
            return Ok(());
        }
        // Callers are shown the reason, and paths of this machine are not for them.
        let why = match failure.code {
            Code::Corrupt => "its stored binary is missing or damaged",
            _ => failure.message.as_str(),
        };
        let reason = format!("{CANNOT_RUN}{why}");
        let input = Input::Quarantine {
            module: name.clone(),
            reason: reason.clone(),
        };
        let seq = self.stamper.seq(self.shared);
        let timestamp_ms = self.stamper.timestamp_ms(self.shared.now_ms());
        let step = StepRecord::of_node(seq, timestamp_ms, input);
        self.shared.append(Record::Step(Box::new(step)).encode()?);
        module.state = ModuleState::Quarantined { reason };
        Ok(())
    }
}
