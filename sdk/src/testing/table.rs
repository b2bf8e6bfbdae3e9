//! A table in memory: rows by ordered key, indexes beside them, counters.
//!
//! Invariant: a refused call changes nothing, counters included. What a scan is, is in `scan`.

mod scan;

use std::collections::BTreeMap;

use interstice_abi::{
    codec::{Column, Input},
    failure::{Code, Failure},
    key::KeyType,
    schema::{Persistence, TableSchema},
    types::{ColumnType, TypeSet},
    walk::{Layout, Node},
};

/// One table.
#[derive(Clone)]
pub(super) struct Table {
    name: String,
    schema: TableSchema,
    layout: Layout,
    nodes: Vec<Node>,
    /// The primary key's type, then those of the indexes.
    keys: Vec<KeyType>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// From (value, key) to key.
    indexes: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The last value of each `auto_inc` field, by the field's place.
    counters: BTreeMap<usize, i128>,
}

/// A row taken apart.
struct Parts {
    fields: Vec<Vec<u8>>,
    key: Vec<u8>,
    /// The indexed values, in order.
    values: Vec<Vec<u8>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(name: &str, schema: fn(&mut TypeSet) -> TableSchema) -> Self {
        let mut types = TypeSet::default();
        let schema = schema(&mut types);
        let mut layout = Layout::new(&types).expect("the compiler knows all types of a row");
        let nodes = layout
            .resolve_fields(&schema.fields)
            .expect("the compiler knows all types of a row");
        let places = std::iter::once(schema.primary_key)
            .chain(schema.indexes.iter().map(|index| index.field));
        let keys = places
            .filter_map(|place| schema.fields.get(usize::from(place)))
            .map(|field| KeyType::new(&field.ty, &types).expect("keys are checked where rows are"))
            .collect();
        Self {
            name: name.to_string(),
            indexes: vec![BTreeMap::new(); schema.indexes.len()],
            schema,
            layout,
            nodes,
            keys,
            rows: BTreeMap::new(),
            counters: BTreeMap::new(),
        }
    }

    pub(super) fn is_ephemeral(&self) -> bool {
        self.schema.persistence == Persistence::Ephemeral
    }

    /// As it was before the first row.
    pub(super) fn reset(&mut self) {
        self.clear();
        self.counters.clear();
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.indexes.iter_mut().for_each(BTreeMap::clear);
    }

    pub(super) fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(super) fn first(&self) -> Option<Vec<u8>> {
        self.rows.values().next().cloned()
    }

    pub(super) fn last(&self) -> Option<Vec<u8>> {
        self.rows.values().next_back().cloned()
    }

    pub(super) fn get(&self, index: usize, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let wanted = self.order(index, key)?;
        let Some(place) = index.checked_sub(1) else {
            return Ok(self.rows.get(&wanted).cloned());
        };
        let found = self
            .indexes
            .get(place)
            .into_iter()
            .flat_map(|index| index.range(wanted.clone()..))
            .next()
            .filter(|(value, _)| value.starts_with(&wanted));
        Ok(found.and_then(|(_, key)| self.rows.get(key).cloned()))
    }

    pub(super) fn insert(&mut self, row: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut counters = self.counters.clone();
        let row = self.count_up(row, None, &mut counters)?;
        let parts = self.parts(&row)?;
        if self.rows.contains_key(&parts.key) {
            let message = format!(
                "`{}` has a row with the primary key {}",
                self.name,
                self.show(0, &parts.key)
            );
            return Err(self.taken(message, 0, &parts.key));
        }
        self.check_unique(&parts)?;
        self.counters = counters;
        self.put(&parts, row.clone());
        Ok(row)
    }

    /// The row that was replaced.
    pub(super) fn update(&mut self, row: &[u8]) -> Result<Vec<u8>, Failure> {
        let parts = self.parts(row)?;
        let Some(old) = self.rows.get(&parts.key).cloned() else {
            return Err(self.missing(&parts.key));
        };
        self.check_unique(&parts)?;
        let old_parts = self.parts(&old)?;
        self.take(&old_parts);
        self.put(&parts, row.to_vec());
        Ok(old)
    }

    pub(super) fn upsert(&mut self, row: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.parts(row)?.key;
        if !self.rows.contains_key(&key) {
            return self.insert(row);
        }
        let mut counters = self.counters.clone();
        let row = self.count_up(row, Some(self.schema.primary_key), &mut counters)?;
        self.update(&row)?;
        self.counters = counters;
        Ok(row)
    }

    pub(super) fn delete(&mut self, key: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.order(0, key)?;
        let Some(row) = self.rows.get(&key).cloned() else {
            return Err(self.missing(&key));
        };
        let parts = self.parts(&row)?;
        self.take(&parts);
        Ok(Vec::new())
    }

    fn put(&mut self, parts: &Parts, row: Vec<u8>) {
        for (index, value) in self.indexes.iter_mut().zip(&parts.values) {
            index.insert(place(value, &parts.key), parts.key.clone());
        }
        self.rows.insert(parts.key.clone(), row);
    }

    fn take(&mut self, parts: &Parts) {
        for (index, value) in self.indexes.iter_mut().zip(&parts.values) {
            index.remove(&place(value, &parts.key));
        }
        self.rows.remove(&parts.key);
    }

    fn order(&self, index: usize, value: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = self.keys.get(index);
        let key = key.ok_or_else(|| Failure::internal("no such index"))?;
        let mut ordered = Vec::new();
        key.order(value, &mut ordered).map_err(Failure::internal)?;
        Ok(ordered)
    }

    fn parts(&self, row: &[u8]) -> Result<Parts, Failure> {
        let mut fields = vec![Vec::new(); self.nodes.len()];
        self.layout
            .walk(&self.nodes, row, |place, bytes| {
                if let Some(field) = fields.get_mut(place) {
                    *field = bytes.to_vec();
                }
            })
            .map_err(Failure::internal)?;
        let field = |place: u16| {
            fields
                .get(usize::from(place))
                .map_or(&[][..], Vec::as_slice)
        };
        let key = self.order(0, field(self.schema.primary_key))?;
        let values = self.schema.indexes.iter().enumerate();
        let values = values
            .map(|(index, schema)| self.order(index + 1, field(schema.field)))
            .collect::<Result<_, _>>()?;
        Ok(Parts {
            fields,
            key,
            values,
        })
    }

    fn is_option(&self, field: u16) -> bool {
        let field = self.schema.fields.get(usize::from(field));
        field.is_some_and(|field| matches!(field.ty, ColumnType::Option(_)))
    }

    fn check_unique(&self, parts: &Parts) -> Result<(), Failure> {
        let schemas = self.schema.indexes.iter().zip(&self.indexes).enumerate();
        for ((number, (schema, index)), value) in schemas.zip(&parts.values) {
            let other = index.range(value.clone()..).next();
            let is_taken =
                other.is_some_and(|(place, key)| place.starts_with(value) && *key != parts.key);
            // Several rows may have no value.
            let is_none = self.is_option(schema.field) && **value == [0];
            if schema.unique && is_taken && !is_none {
                let message = format!(
                    "`{}` has another row whose `{}` is {}",
                    self.name,
                    self.field_name(schema.field),
                    self.show(number + 1, value)
                );
                return Err(self.taken(message, number + 1, value));
            }
        }
        Ok(())
    }

    /// The row with the next numbers in `auto_inc` fields that are 0, but for the field `kept`;
    /// `counters` move past what was given.
    fn count_up(
        &self,
        row: &[u8],
        kept: Option<u16>,
        counters: &mut BTreeMap<usize, i128>,
    ) -> Result<Vec<u8>, Failure> {
        let mut fields = self.parts(row)?.fields;
        let indexes = self.schema.indexes.iter();
        let counted = indexes
            .filter(|index| index.auto_inc)
            .map(|index| index.field)
            .chain(
                self.schema
                    .primary_key_auto_inc
                    .then_some(self.schema.primary_key),
            );
        for place in counted.map(usize::from) {
            let (Some(bytes), Some(field)) = (fields.get_mut(place), self.schema.fields.get(place))
            else {
                continue;
            };
            let last = counters.entry(place).or_default();
            let value = read_number(&field.ty, bytes).map_err(Failure::internal)?;
            if value != 0 || kept.map(usize::from) == Some(place) {
                *last = value.max(*last);
                continue;
            }
            *last += 1;
            *bytes = write_number(&field.ty, *last).ok_or_else(|| {
                let message = format!(
                    "`{}` has no number left for `{}`, which is a {}",
                    self.name, field.name, field.ty
                );
                Failure::new(Code::Constraint, message).about_table(&self.name)
            })?;
        }
        Ok(fields.concat())
    }

    fn field_name(&self, place: u16) -> &str {
        let field = self.schema.fields.get(usize::from(place));
        field.map_or("", |field| &field.name)
    }

    fn show(&self, index: usize, ordered: &[u8]) -> String {
        self.keys
            .get(index)
            .map_or_else(String::new, |key| key.show(ordered))
    }

    fn taken(&self, message: String, index: usize, value: &[u8]) -> Failure {
        let constraint = match index
            .checked_sub(1)
            .and_then(|i| self.schema.indexes.get(i))
        {
            Some(index) => format!("unique index on {}", self.field_name(index.field)),
            None => "primary key".to_string(),
        };
        Failure::new(Code::Constraint, message)
            .about_table(&self.name)
            .about_key(self.show(index, value))
            .about_constraint(constraint)
    }

    fn missing(&self, key: &[u8]) -> Failure {
        let key = self.show(0, key);
        let message = format!("`{}` has no row with the primary key {key}", self.name);
        Failure::new(Code::NotFound, message)
            .about_table(&self.name)
            .about_key(key)
    }
}

/// Where a row stands in an index.
fn place(value: &[u8], key: &[u8]) -> Vec<u8> {
    [value, key].concat()
}

fn read_number(ty: &ColumnType, bytes: &[u8]) -> Result<i128, interstice_abi::codec::Damaged> {
    let mut input = Input::new(bytes);
    Ok(match ty {
        ColumnType::U8 => u8::decode(&mut input)?.into(),
        ColumnType::U16 => u16::decode(&mut input)?.into(),
        ColumnType::U32 => u32::decode(&mut input)?.into(),
        ColumnType::U64 => u64::decode(&mut input)?.into(),
        ColumnType::I32 => i32::decode(&mut input)?.into(),
        ColumnType::I64 => i64::decode(&mut input)?.into(),
        _ => return Err(input.damaged("is no number that `auto_inc` counts in")),
    })
}

fn write_number(ty: &ColumnType, value: i128) -> Option<Vec<u8>> {
    Some(match ty {
        ColumnType::U8 => u8::try_from(value).ok()?.to_bytes(),
        ColumnType::U16 => u16::try_from(value).ok()?.to_bytes(),
        ColumnType::U32 => u32::try_from(value).ok()?.to_bytes(),
        ColumnType::U64 => u64::try_from(value).ok()?.to_bytes(),
        ColumnType::I32 => i32::try_from(value).ok()?.to_bytes(),
        ColumnType::I64 => i64::try_from(value).ok()?.to_bytes(),
        _ => return None,
    })
}
