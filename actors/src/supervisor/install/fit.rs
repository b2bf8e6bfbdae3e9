//! Whether modules fit the node: what they need is there, what others need of them stays, and
//! their authorities are free.
//!
//! Only schemas are compared; nothing is changed here. A set of modules is looked at as if all of
//! it were there already. Every refusal says which commands work, in their order.

use std::collections::BTreeMap;

use interstice_abi::{
    failure::{Code, Failure},
    id::ModuleName,
    schema::{Dependency, ModuleSchema},
    wire::ModuleState,
};
use interstice_host::{schema, table::MovePlan};

use super::Install;
use crate::supervisor::catalogue::Installed;

/// A node's modules as they would be.
struct Modules<'a>(BTreeMap<&'a str, Known<'a>>);

/// A module of them.
#[derive(Clone, Copy)]
struct Known<'a> {
    schema: &'a ModuleSchema,
    /// Whether it serves or catches up, or is about to.
    serves: bool,
    /// Whether it is one of those that come.
    comes: bool,
}

impl<'a> Modules<'a> {
    fn of(
        installed: &'a BTreeMap<ModuleName, Installed>,
        coming: impl Iterator<Item = &'a ModuleSchema>,
    ) -> Self {
        let there = installed.values().map(|installed| Known {
            schema: &installed.schema,
            serves: matches!(
                installed.state,
                ModuleState::Loaded | ModuleState::CatchingUp
            ),
            comes: false,
        });
        let coming = coming.map(|schema| Known {
            schema,
            serves: true,
            comes: true,
        });
        let all = there.chain(coming);
        Self(
            all.map(|known| (known.schema.name.as_str(), known))
                .collect(),
        )
    }

    /// Every binding of a module to another one of the node, where either of them is of interest.
    fn check(&self, is_of_interest: impl Fn(&Known<'_>) -> bool) -> Result<(), Failure> {
        for reader in self.0.values().filter(|known| known.serves) {
            for dependency in local(reader.schema) {
                let provider = self.0.get(dependency.module.as_str());
                if is_of_interest(reader) || provider.is_some_and(&is_of_interest) {
                    self.check_binding(reader, dependency)?;
                }
            }
        }
        Ok(())
    }

    fn check_binding(&self, reader: &Known<'_>, dependency: &Dependency) -> Result<(), Failure> {
        let (name, wanted) = (&dependency.module, dependency.version);
        let holder = &reader.schema.name;
        let Some(provider) = self.0.get(name.as_str()) else {
            return Err(Failure::new(
                Code::NotFound,
                format!(
                    "module `{holder}` needs module `{name}` in version {wanted} or compatible, which is not on this node; \
                     `deploy` {name} first, or both together: `deploy {name} {holder}`"
                ),
            ));
        };
        let problem = if provider.schema.version.satisfies(wanted) {
            match schema::check_binding(reader.schema, dependency, provider.schema) {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    format!("module `{holder}` needs more of module `{name}`: {failure}")
                }
            }
        } else {
            format!(
                "module `{holder}` was made for version {wanted} of module `{name}`; version {} is not compatible with it",
                provider.schema.version,
            )
        };
        let way = way_out(reader, provider);
        Err(Failure::new(
            Code::SchemaConflict,
            format!("{problem}. {way}"),
        ))
    }
}

/// The commands that lead to a node with both modules, of which `reader` has a binding that does
/// not fit `provider`.
fn way_out(reader: &Known<'_>, provider: &Known<'_>) -> String {
    let (holder, name) = (&reader.schema.name, &provider.schema.name);
    match (reader.comes, provider.comes) {
        // The reader was built against a version that is not there yet.
        (true, false) => format!(
            "Deploy the version of `{name}` that `{holder}` was built against first, or both together: `deploy {name} {holder}`; \
             or build `{holder}` again after `bindings update`"
        ),
        (true, true) => format!(
            "In the folder of `{holder}`, `bindings add module` with the path of the new `{name}`, then `deploy {name} {holder}`"
        ),
        _ => format!(
            "To move both together: in the folder of `{holder}`, `bindings add module` with the path of the new `{name}`, \
             then `deploy {name} {holder}`. One after the other: unload `{holder}`, deploy `{name}`, `bindings update` in the \
             folder of `{holder}`, deploy `{holder}`; its data stay"
        ),
    }
}

/// The bindings of a module to others of its node.
fn local(schema: &ModuleSchema) -> impl Iterator<Item = &Dependency> {
    let dependencies = schema.dependencies.iter();
    dependencies.filter(|dependency| dependency.node.is_none())
}

/// All that a module was compiled against must be there in a compatible version.
pub(in crate::supervisor) fn check_dependencies(
    module: &ModuleSchema,
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    let modules = Modules::of(installed, std::iter::once(module));
    let reader = Known {
        schema: module,
        serves: true,
        comes: true,
    };
    local(module).try_for_each(|dependency| modules.check_binding(&reader, dependency))
}

/// A set of modules must have what it needs, running modules that were compiled against it must
/// still find what they need, and each authority is held by one module at most. Modules that are
/// stopped are asked when they start again.
pub(super) fn check<'a>(
    coming: impl Iterator<Item = &'a ModuleSchema> + Clone,
    installed: &'a BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    let modules = Modules::of(installed, coming.clone());
    modules.check(|known| known.comes)?;
    for new in coming {
        for other in modules
            .0
            .values()
            .filter(|other| other.schema.name != new.name)
        {
            let mut authorities = new.authorities.iter();
            let shared = authorities.find(|wanted| other.schema.authorities.contains(wanted));
            if let Some(authority) = shared {
                return Err(Failure::new(
                    Code::Denied,
                    format!(
                        "authority `{authority:?}` is held by module `{}`; only one module of a node may hold it; `remove` that \
                         one first",
                        other.schema.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Puts those first that others of the set need, by name where nothing else decides.
///
/// # Errors
/// `BadArguments` for a module that is there twice.
pub(super) fn in_order(installs: &mut Vec<Install>) -> Result<(), Failure> {
    let mut left: BTreeMap<ModuleName, Install> = BTreeMap::new();
    for install in installs.drain(..) {
        let name = install.name().clone();
        if left.insert(name.clone(), install).is_some() {
            let text = format!("module `{name}` is given twice; deploy one version of it");
            return Err(Failure::new(Code::BadArguments, text));
        }
    }
    while !left.is_empty() {
        let needs_no_other = |install: &Install| {
            local(install.schema()).all(|dependency| {
                dependency.module == install.name().as_str()
                    || !left.contains_key(dependency.module.as_str())
            })
        };
        let next = left.values().find(|install| needs_no_other(install));
        // Modules that need each other have no order.
        let next = next.or_else(|| left.values().next());
        let Some(next) = next.map(|install| install.name().clone()) else {
            break;
        };
        installs.extend(left.remove(&next));
    }
    Ok(())
}

/// A module that begins with `init`, which may fail, cannot come together with upgrades, which
/// that failure could not undo.
pub(super) fn check_all_are_new(
    installs: &[Install],
    installed: &BTreeMap<ModuleName, Installed>,
) -> Result<(), Failure> {
    let is_there = |install: &&Install| installed.contains_key(install.name());
    let Some(upgraded) = installs.iter().find(is_there) else {
        return Ok(());
    };
    let begins = installs.iter().find(|install| install.runs_init(installed));
    let Some(begins) = begins.map(Install::name) else {
        return Ok(());
    };
    let others = installs.iter().map(Install::name);
    let others: Vec<&str> = others
        .filter(|name| *name != begins)
        .map(ModuleName::as_str)
        .collect();
    Err(Failure::new(
        Code::BadArguments,
        format!(
            "module `{begins}` is new and begins with `init`, whose failure could not undo the upgrade of `{}`; deploy it by \
             itself: `deploy {}`, then `deploy {begins}`, or the other way round where `{begins}` is needed",
            upgraded.name(),
            others.join(" "),
        ),
    ))
}

/// The refusal of an upgrade that would drop data.
pub(super) fn does_not_fit(name: &ModuleName, plan: &MovePlan) -> Failure {
    let rows = plan
        .dropped()
        .map(|(_, table)| format!("{} ({} rows)", table.name, table.rows));
    let rows: Vec<String> = rows.collect();
    let mut dropped = match rows.as_slice() {
        [] => String::new(),
        rows => format!("the tables {}", rows.join(", ")),
    };
    if !plan.timers.is_empty() {
        let and = if dropped.is_empty() { "" } else { " and " };
        dropped.push_str(&format!("{and}{} pending timers", plan.timers.len()));
    }
    Failure::new(
        Code::SchemaConflict,
        format!(
            "the new version of module `{name}` does not fit its data, and nothing was changed:\n{}\n`deploy --wipe` would drop \
             {dropped}; `deploy --dry-run` shows it all",
            plan.difference
        ),
    )
}
