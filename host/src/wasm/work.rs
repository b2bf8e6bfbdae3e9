//! How much work it is to compile a function, worked out before anything is compiled.
//!
//! The compiler keeps track of every variable in every block of a function. So its time and memory
//! grow with the number of variables times the number of blocks, and a megabyte that is made for
//! it costs minutes and gigabytes. What compilers produce of programs is far below the bounds.

use interstice_abi::failure::{Code, Failure};
use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use super::outline::malformed;

/// Variables times blocks of one function: a million takes about a third of a second. Programs'
/// largest functions come to some millions.
const FUNCTION_MAX: u64 = 20_000_000;

/// The same of all functions of a module.
const MODULE_MAX: u64 = 200_000_000;

/// That the compiler can be let loose on a module. For new ones: what was installed once stays.
///
/// # Errors
/// `TooLarge` when it would take too long, `BadArguments` for what is no WebAssembly.
pub(super) fn check(wasm: &[u8]) -> Result<(), Failure> {
    let mut work = Work::default();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(malformed)? {
            let (variables, blocks) = work.function(&body).map_err(malformed)?;
            work.add(variables, blocks)?;
        }
    }
    Ok(())
}

/// Counts the work of the functions of one module.
#[derive(Default)]
struct Work {
    /// How many functions there were.
    functions: u64,
    /// What they come to.
    all: u64,
    /// Which variables the function at hand uses.
    used: Vec<bool>,
}

impl Work {
    /// How many variables the next function uses, and how many blocks it has.
    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(u64, u64), BinaryReaderError> {
        self.used.clear();
        let (mut variables, mut blocks) = (0, 1);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::LocalGet { local_index }
                | Operator::LocalSet { local_index }
                | Operator::LocalTee { local_index } => {
                    variables += u64::from(self.is_new(local_index));
                }
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::BrIf { .. } => blocks += 1,
                Operator::BrTable { targets } => blocks += u64::from(targets.len()),
                _ => {}
            }
        }
        Ok((variables, blocks))
    }

    fn add(&mut self, variables: u64, blocks: u64) -> Result<(), Failure> {
        let work = variables.saturating_mul(blocks);
        self.functions += 1;
        self.all = self.all.saturating_add(work);
        if work > FUNCTION_MAX {
            return Err(too_large(&format!(
                "its function {} has {variables} variables in {blocks} blocks, which multiply to more than {FUNCTION_MAX}",
                self.functions
            )));
        }
        if self.all > MODULE_MAX {
            return Err(too_large(&format!(
                "the variables and blocks of its functions multiply to more than {MODULE_MAX}"
            )));
        }
        Ok(())
    }

    /// Whether the function at hand has not used this variable before.
    fn is_new(&mut self, variable: u32) -> bool {
        /// WebAssembly allows fewer: what is beyond is refused by the validator.
        const VARIABLES_MAX: usize = 1 << 17;
        let place = usize::try_from(variable).unwrap_or(usize::MAX);
        if place >= VARIABLES_MAX {
            return true;
        }
        if self.used.len() <= place {
            self.used.resize(place + 1, false);
        }
        self.used
            .get_mut(place)
            .is_some_and(|used| !std::mem::replace(used, true))
    }
}

fn too_large(what: &str) -> Failure {
    Failure::new(
        Code::TooLarge,
        format!("the module would take too long to compile: {what}; split its largest functions"),
    )
}
