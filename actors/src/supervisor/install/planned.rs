//! What a deploy would do, without doing it: the checks of a deploy in its order, and what would
//! become of each table.

use interstice_abi::{
    failure::Failure,
    id::ModuleName,
    schema::ModuleSchema,
    wire::{DeployPlan, ModulePlan, ModuleState, OnConflict, TableFate, TablePlan},
};
use interstice_host::table::{Fate, MovePlan, PlannedTable};

use super::{
    Install,
    dropping::All,
    fit::{self, check_all_are_new, does_not_fit},
};
use crate::supervisor::change::ChangeContext;

impl ChangeContext {
    /// What installing these modules together would do.
    pub(crate) async fn plan_all(&self, mut installs: Vec<Install>) -> Result<DeployPlan, Failure> {
        fit::in_order(&mut installs)?;
        let before = self.catalogue.installed();
        let schemas = || installs.iter().map(|install| install.schema().as_ref());
        let mut refused = fit::check(schemas(), &before).err();
        let begins = installs.iter().any(|install| install.runs_init(&before));
        if installs.len() > 1 && begins {
            refused = refused.or_else(|| check_all_are_new(&installs, &before).err());
        }
        let mut modules = Vec::new();
        for install in &mut installs {
            let plan = match before.get(install.name()) {
                Some(old) => Some(self.move_plan(old, install).await?),
                None => None,
            };
            if let Some(plan) = plan.as_ref().filter(|plan| !plan.is_compatible())
                && install.options.on_conflict == OnConflict::Refuse
            {
                refused = refused.or_else(|| Some(does_not_fit(install.name(), plan)));
            }
            modules.push(module_plan(install.schema(), &before, plan));
        }
        Ok(DeployPlan { modules, refused })
    }
}

fn module_plan(schema: &ModuleSchema, before: &All, plan: Option<MovePlan>) -> ModulePlan {
    let uses = |other: &ModuleSchema| {
        let mut dependencies = other.dependencies.iter();
        dependencies.any(|dependency| {
            dependency.node.is_none() && dependency.module == schema.name.as_str()
        })
    };
    let used_by = before
        .values()
        .filter(|other| other.state == ModuleState::Loaded && uses(&other.schema));
    let used_by: Vec<ModuleName> = used_by.map(|other| other.schema.name.clone()).collect();
    let common = ModulePlan {
        module: schema.name.clone(),
        version: schema.version,
        replaces: before.get(&schema.name).map(|old| old.schema.version),
        changes: Vec::new(),
        tables: Vec::new(),
        timers: Vec::new(),
        used_by,
    };
    let Some(plan) = plan else {
        let added = schema.tables.iter().map(|table| TablePlan {
            table: table.name.clone(),
            rows: 0,
            fate: TableFate::Added,
        });
        return ModulePlan {
            tables: added.collect(),
            ..common
        };
    };
    let lines = plan.difference.lines.iter();
    let timers = plan.timers.into_iter();
    ModulePlan {
        changes: lines.map(ToString::to_string).collect(),
        tables: plan.tables.into_iter().map(table_plan).collect(),
        timers: timers.map(|timer| (timer.id, timer.reducer)).collect(),
        ..common
    }
}

fn table_plan(table: PlannedTable) -> TablePlan {
    TablePlan {
        table: table.name,
        rows: table.rows,
        fate: match table.fate {
            Fate::Added => TableFate::Added,
            Fate::Kept => TableFate::Kept,
            Fate::Extended => TableFate::Extended,
            Fate::Ephemeral => TableFate::Ephemeral,
            Fate::Dropped => TableFate::Dropped,
        },
    }
}
