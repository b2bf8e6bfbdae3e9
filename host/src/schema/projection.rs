//! [`Projection`]: encoded values of one type as values of another one, of which either has grown out of the other.
//!
//! A reader gets the fields that it knows; a function gets the fields that its caller does not
//! know filled in. Both types must fit by a rule of `shape.rs`; a part that is the same in both is
//! copied without being looked at. The plan is a list and refers to itself by number, so types
//! that contain themselves need no recursion to be planned.

use std::collections::BTreeMap;

use interstice_abi::{
    codec::{Damaged, Input, put_varint},
    types::{ColumnType, Field, Fields, TypeKind, TypeSet},
    walk::{DEPTH_MAX, Layout, Node, Unresolved, ZERO_SIZED_ITEMS_MAX},
};

use super::{difference::added_value, shape};

/// A plan's number.
type Number = usize;

/// How the values of one schema become those of another one.
#[derive(Debug)]
pub(super) struct Projection {
    /// The types that values come in.
    layout: Layout,
    plans: Vec<Plan>,
    /// The plans of pairs of named types.
    known: BTreeMap<(String, String), Number>,
}

/// What happens to a value.
#[derive(Debug)]
enum Plan {
    /// It stays as it is.
    Copy(Node),
    /// A vector, item by item.
    Vec(Number),
    /// An option.
    Option(Number),
    /// An array of this many items.
    Array(Number, u32),
    /// A struct or a tuple.
    Fields(FieldsPlan),
    /// An enum: the fields of each variant.
    Enum(Vec<FieldsPlan>),
}

/// What happens to the fields of a struct, of a variant, or to the columns of a row.
#[derive(Debug, Default)]
struct FieldsPlan {
    /// The fields that both sides have.
    kept: Vec<Number>,
    /// The fields after them that are left out.
    skipped: Vec<Node>,
    /// The bytes of the fields that are added.
    added: Vec<u8>,
}

/// A whole row or argument list, or a single value.
#[derive(Debug)]
pub(super) struct Sequence(FieldsPlan);

/// A pair of types that is still to be planned, for the plan of this number.
type Pending = (Number, ColumnType, ColumnType);

impl Projection {
    /// Of values of `types`.
    pub(super) fn of(types: &TypeSet) -> Result<Self, Unresolved> {
        Ok(Self {
            layout: Layout::new(types)?,
            plans: Vec::new(),
            known: BTreeMap::new(),
        })
    }

    /// Plans a row or an argument list; `None` where nothing would change.
    pub(super) fn sequence(
        &mut self,
        from: &[Field],
        from_types: &TypeSet,
        to: &[Field],
        to_types: &TypeSet,
    ) -> Result<Option<Sequence>, Unresolved> {
        let same = shape::same_list(
            shape::types_of(from),
            from_types,
            shape::types_of(to),
            to_types,
        );
        if same {
            return Ok(None);
        }
        let mut open = Vec::new();
        let plan = self.named_fields(from, to, &mut open)?;
        self.finish(open, from_types, to_types)?;
        Ok(Some(Sequence(plan)))
    }

    /// Plans a single value; `None` where nothing would change.
    pub(super) fn value(
        &mut self,
        from: &ColumnType,
        from_types: &TypeSet,
        to: &ColumnType,
        to_types: &TypeSet,
    ) -> Result<Option<Sequence>, Unresolved> {
        let field = |ty: &ColumnType| [Field::new("value", ty.clone())];
        self.sequence(&field(from), from_types, &field(to), to_types)
    }

    /// The projection of a value that fills `bytes`.
    pub(super) fn apply(&self, sequence: &Sequence, bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
        let mut input = Input::new(bytes);
        let mut out = Vec::with_capacity(bytes.len() + sequence.0.added.len());
        self.fields(&sequence.0, &mut input, &mut out, DEPTH_MAX)?;
        input.finish()?;
        Ok(out)
    }

    /// Works through the pairs that are still to be planned.
    fn finish(
        &mut self,
        mut open: Vec<Pending>,
        from_types: &TypeSet,
        to_types: &TypeSet,
    ) -> Result<(), Unresolved> {
        while let Some((number, from, to)) = open.pop() {
            let plan = if shape::same(&from, from_types, &to, to_types) {
                Plan::Copy(self.layout.resolve(&from)?)
            } else {
                self.plan(&from, from_types, &to, to_types, &mut open)?
            };
            if let Some(slot) = self.plans.get_mut(number) {
                *slot = plan;
            }
        }
        Ok(())
    }

    fn plan(
        &mut self,
        from: &ColumnType,
        from_types: &TypeSet,
        to: &ColumnType,
        to_types: &TypeSet,
        open: &mut Vec<Pending>,
    ) -> Result<Plan, Unresolved> {
        Ok(match (from, to) {
            (ColumnType::Vec(a), ColumnType::Vec(b)) => Plan::Vec(self.number(a, b, open)),
            (ColumnType::Option(a), ColumnType::Option(b)) => Plan::Option(self.number(a, b, open)),
            (ColumnType::Array(a, count), ColumnType::Array(b, _)) => {
                Plan::Array(self.number(a, b, open), *count)
            }
            (ColumnType::Tuple(a), ColumnType::Tuple(b)) => {
                Plan::Fields(self.plain_fields(a.iter().zip(b), open))
            }
            (ColumnType::Named(a), ColumnType::Named(b)) => {
                let kinds = (from_types.types.get(a), to_types.types.get(b));
                match (kinds.0.map(|a| &a.kind), kinds.1.map(|b| &b.kind)) {
                    (Some(TypeKind::Struct(a)), Some(TypeKind::Struct(b))) => {
                        Plan::Fields(self.any_fields(a, b, open)?)
                    }
                    (Some(TypeKind::Enum(a)), Some(TypeKind::Enum(b))) => {
                        let pairs = a.iter().zip(b);
                        let variants =
                            pairs.map(|(a, b)| self.any_fields(&a.fields, &b.fields, open));
                        Plan::Enum(variants.collect::<Result<_, _>>()?)
                    }
                    _ => Plan::Copy(self.layout.resolve(from)?),
                }
            }
            _ => Plan::Copy(self.layout.resolve(from)?),
        })
    }

    fn any_fields(
        &mut self,
        from: &Fields,
        to: &Fields,
        open: &mut Vec<Pending>,
    ) -> Result<FieldsPlan, Unresolved> {
        if let (Fields::Named(from), Fields::Named(to)) = (from, to) {
            return self.named_fields(from, to, open);
        }
        let (from, to) = (shape::flat(from), shape::flat(to));
        Ok(self.plain_fields(from.into_iter().zip(to), open))
    }

    fn named_fields(
        &mut self,
        from: &[Field],
        to: &[Field],
        open: &mut Vec<Pending>,
    ) -> Result<FieldsPlan, Unresolved> {
        let types = |(a, b): (&Field, &Field)| (a.ty.clone(), b.ty.clone());
        let both: Vec<_> = from.iter().zip(to).map(types).collect();
        let skipped = from.get(to.len()..).unwrap_or_default();
        let added = to.get(from.len()..).unwrap_or_default();
        Ok(FieldsPlan {
            skipped: self.layout.resolve_fields(skipped)?,
            added: added
                .iter()
                .filter_map(added_value)
                .flatten()
                .copied()
                .collect(),
            ..self.plain_fields(both.iter().map(|(a, b)| (a, b)), open)
        })
    }

    fn plain_fields<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a ColumnType, &'a ColumnType)>,
        open: &mut Vec<Pending>,
    ) -> FieldsPlan {
        FieldsPlan {
            kept: pairs.map(|(a, b)| self.number(a, b, open)).collect(),
            ..FieldsPlan::default()
        }
    }

    /// The number of the plan of a pair of types; a pair that is not known is planned later.
    fn number(&mut self, from: &ColumnType, to: &ColumnType, open: &mut Vec<Pending>) -> Number {
        let number = self.plans.len();
        if let (ColumnType::Named(a), ColumnType::Named(b)) = (from, to) {
            let pair = (a.clone(), b.clone());
            if let Some(known) = self.known.get(&pair) {
                return *known;
            }
            self.known.insert(pair, number);
        }
        self.plans.push(Plan::Fields(FieldsPlan::default()));
        open.push((number, from.clone(), to.clone()));
        number
    }

    fn fields(
        &self,
        plan: &FieldsPlan,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Damaged> {
        for number in &plan.kept {
            self.one(*number, input, out, depth)?;
        }
        for node in &plan.skipped {
            self.layout.skip(*node, input)?;
        }
        out.extend_from_slice(&plan.added);
        Ok(())
    }

    fn one(
        &self,
        number: Number,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Damaged> {
        let unknown = || Input::new(&[]).damaged("is of a type of another schema");
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| input.damaged("is nested too deeply"))?;
        match self.plans.get(number).ok_or_else(unknown)? {
            Plan::Copy(node) => {
                let rest = input.rest();
                self.layout.skip(*node, input)?;
                let taken = rest.len() - input.left();
                out.extend_from_slice(rest.get(..taken).unwrap_or_default());
                Ok(())
            }
            Plan::Vec(item) => {
                let count = input.length()?;
                if count > input.left().max(ZERO_SIZED_ITEMS_MAX) {
                    return Err(input.damaged("ends too early"));
                }
                put_varint(count as u128, out);
                (0..count).try_for_each(|_| self.one(*item, input, out, depth))
            }
            Plan::Option(inner) => {
                let tag = input.byte()?;
                out.push(tag);
                match tag {
                    0 => Ok(()),
                    _ => self.one(*inner, input, out, depth),
                }
            }
            Plan::Array(item, count) => {
                (0..*count).try_for_each(|_| self.one(*item, input, out, depth))
            }
            Plan::Fields(fields) => self.fields(fields, input, out, depth),
            Plan::Enum(variants) => {
                let variant = input.length()?;
                let fields = variants
                    .get(variant)
                    .ok_or_else(|| input.damaged("an enum has no variant of this number"))?;
                put_varint(variant as u128, out);
                self.fields(fields, input, out, depth)
            }
        }
    }
}
