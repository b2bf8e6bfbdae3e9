//! Table handles: thin, typed methods over the SDK's runtime, each behind the capability that it
//! needs.
//!
//! The same methods serve the tables of a module and those of its bindings; the capability stands
//! on the method, so that calling one without it is an error that says which bound to write.

use interstice_abi::schema::IndexKind;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use crate::name::sdk;

/// A secondary index, as far as its methods go.
pub(crate) struct Index {
    /// The field's name without `r#`.
    pub(crate) field: String,
    /// The field's type.
    pub(crate) ty: TokenStream,
    /// How it finds rows.
    pub(crate) kind: IndexKind,
    /// Whether two rows may share a value.
    pub(crate) unique: bool,
}

/// A handle to be made.
pub(crate) struct Handle<'a> {
    /// `pub`, `pub(crate)`, or nothing.
    pub(crate) visibility: TokenStream,
    /// The handle's name.
    pub(crate) name: Ident,
    /// The row struct.
    pub(crate) row: &'a Ident,
    /// The primary key's type.
    pub(crate) key: TokenStream,
    /// Secondary indexes, in the order of the schema.
    pub(crate) indexes: &'a [Index],
    /// What the handle is, for its doc comment.
    pub(crate) doc: String,
}

/// A handle that reads.
pub(crate) fn read_handle(handle: &Handle<'_>) -> TokenStream {
    let frame = frame(handle);
    let read = read_methods(handle);
    let by_index = index_methods(handle);
    let name = &handle.name;
    quote! {
        #frame

        #[allow(dead_code, reason = "no module uses every method of every table")]
        impl<__Caps> #name<__Caps> {
            #read
            #by_index
        }
    }
}

/// A handle that reads and writes.
pub(crate) fn edit_handle(handle: &Handle<'_>) -> TokenStream {
    let reading = read_handle(handle);
    let writing = write_methods(handle);
    let name = &handle.name;
    quote! {
        #reading

        #[allow(dead_code, reason = "no module uses every method of every table")]
        impl<__Caps> #name<__Caps> {
            #writing
        }
    }
}

fn frame(handle: &Handle<'_>) -> TokenStream {
    let Handle {
        visibility,
        name,
        row,
        doc,
        ..
    } = handle;
    let sdk = sdk();
    quote! {
        #[doc = #doc]
        #[allow(dead_code, reason = "no module uses every handle of every table")]
        #visibility struct #name<__Caps> {
            caps: ::core::marker::PhantomData<fn() -> __Caps>,
        }

        impl<__Caps> #name<__Caps> {
            #[allow(dead_code, reason = "no module uses every handle of every table")]
            const fn new() -> Self {
                Self { caps: ::core::marker::PhantomData }
            }
        }

        impl<__Caps> ::core::clone::Clone for #name<__Caps> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<__Caps> ::core::marker::Copy for #name<__Caps> {}

        impl<__Caps> ::core::iter::IntoIterator for #name<__Caps>
        where
            __Caps: ::interstice_sdk::CanRead<#row>,
        {
            type Item = #row;
            type IntoIter = #sdk::Rows<#row>;

            fn into_iter(self) -> Self::IntoIter {
                #sdk::table::iterate()
            }
        }
    }
}

fn read_methods(handle: &Handle<'_>) -> TokenStream {
    let (row, key, sdk) = (handle.row, &handle.key, sdk());
    let bound = quote!(where __Caps: ::interstice_sdk::CanRead<#row>);
    quote! {
        /// The row with this primary key.
        #[must_use]
        pub fn get(&self, key: #key) -> ::core::option::Option<#row> #bound {
            #sdk::table::get(0, &key)
        }

        /// The row with the smallest primary key.
        #[must_use]
        pub fn first(&self) -> ::core::option::Option<#row> #bound {
            #sdk::table::first()
        }

        /// The row with the largest primary key.
        #[must_use]
        pub fn last(&self) -> ::core::option::Option<#row> #bound {
            #sdk::table::last()
        }

        /// How many rows there are.
        #[must_use]
        pub fn count(&self) -> u64 #bound {
            #sdk::table::count::<#row>()
        }

        /// All rows in the order of their keys.
        #[must_use]
        pub fn scan(&self) -> ::std::vec::Vec<#row> #bound {
            #sdk::table::scan()
        }

        /// The rows whose primary key lies in `keys`.
        #[must_use]
        pub fn range<__Keys: ::core::ops::RangeBounds<#key>>(&self, keys: __Keys) -> ::std::vec::Vec<#row> #bound {
            #sdk::table::range(&keys)
        }

        /// The rows that `keep` says yes to, read as they are asked for.
        pub fn filter<__Keep: ::core::ops::FnMut(&#row) -> bool>(
            &self,
            keep: __Keep,
        ) -> ::core::iter::Filter<#sdk::Rows<#row>, __Keep>
        #bound
        {
            ::core::iter::Iterator::filter(#sdk::table::iterate::<#row>(), keep)
        }
    }
}

fn index_methods(handle: &Handle<'_>) -> TokenStream {
    let (row, sdk) = (handle.row, sdk());
    let bound = quote!(where __Caps: ::interstice_sdk::CanRead<#row>);
    let rows = quote!(::std::vec::Vec<#row>);
    let methods = handle.indexes.iter().enumerate().map(|(place, index)| {
        let Index { field, ty, kind, unique } = index;
        // The schema's index `i` is `i + 1` in host calls, where 0 is the primary key.
        let number = u16::try_from(place + 1).unwrap_or(u16::MAX);
        let get_by = unique.then(|| {
            let method = format_ident!("get_by_{field}");
            let doc = format!(
                "The row whose `{field}` is `value`; of several rows without a value the one with the smallest key."
            );
            quote! {
                #[doc = #doc]
                #[must_use]
                pub fn #method(&self, value: #ty) -> ::core::option::Option<#row> #bound {
                    #sdk::table::get(#number, &value)
                }
            }
        });
        let comparisons: &[(&str, &str)] = match kind {
            IndexKind::Hash => &[("eq", "is")],
            IndexKind::Btree => &[
                ("eq", "is"),
                ("lt", "is less than"),
                ("lte", "is at most"),
                ("gt", "is greater than"),
                ("gte", "is at least"),
            ],
        };
        let scans = comparisons.iter().map(|(suffix, words)| {
            let method = format_ident!("scan_by_{field}_{suffix}");
            let runtime = format_ident!("scan_{suffix}");
            let doc = format!("The rows whose `{field}` {words} `value`.");
            quote! {
                #[doc = #doc]
                #[must_use]
                pub fn #method(&self, value: #ty) -> #rows #bound {
                    #sdk::table::#runtime(#number, &value)
                }
            }
        });
        let range = (*kind == IndexKind::Btree).then(|| {
            let method = format_ident!("scan_by_{field}_range");
            let doc = format!(
                "The rows whose `{field}` lies between `min` and `max`, each of which counts in or not."
            );
            quote! {
                #[doc = #doc]
                #[must_use]
                pub fn #method(&self, min: #ty, max: #ty, include_min: bool, include_max: bool) -> #rows #bound {
                    #sdk::table::scan_range(#number, (&min, include_min), (&max, include_max))
                }
            }
        });
        quote!(#get_by #(#scans)* #range)
    });
    quote!(#(#methods)*)
}

fn write_methods(handle: &Handle<'_>) -> TokenStream {
    let (row, key, sdk) = (handle.row, &handle.key, sdk());
    let error = quote!(::interstice_sdk::Error);
    let result = quote!(::core::result::Result);
    quote! {
        /// Inserts `row`; the row as stored, generated values filled in.
        ///
        /// # Errors
        /// When the key or a unique value is taken. Nothing has changed then, and the step goes on.
        pub fn insert(&self, row: #row) -> #result<#row, #error>
        where
            __Caps: ::interstice_sdk::CanInsert<#row>,
        {
            #sdk::table::insert(&row)
        }

        /// Replaces the row that has the same primary key.
        ///
        /// # Errors
        /// When there is none, or a unique value is taken. Nothing has changed then, and the step
        /// goes on.
        pub fn update(&self, row: #row) -> #result<(), #error>
        where
            __Caps: ::interstice_sdk::CanUpdate<#row>,
        {
            #sdk::table::update(&row)
        }

        /// Inserts `row`, or replaces the row that has the same primary key; the row as stored.
        ///
        /// # Errors
        /// When a unique value is taken. Nothing has changed then, and the step goes on.
        pub fn upsert(&self, row: #row) -> #result<#row, #error>
        where
            __Caps: ::interstice_sdk::CanInsert<#row> + ::interstice_sdk::CanUpdate<#row>,
        {
            #sdk::table::upsert(&row)
        }

        /// Deletes the row with this primary key.
        ///
        /// # Errors
        /// When there is none. The step goes on.
        pub fn delete(&self, key: #key) -> #result<(), #error>
        where
            __Caps: ::interstice_sdk::CanDelete<#row>,
        {
            #sdk::table::delete::<#row>(&key)
        }

        /// Deletes every row. Each of them is a change, and the step holds all of them until it
        /// ends.
        ///
        /// # Errors
        /// When the capability was revoked, or when the rows are more than a step may hold
        /// (`step_bytes_max` in node.toml); then none is deleted. Delete the rows of such a table
        /// in pieces, in several calls or with a timer. The step goes on.
        pub fn clear(&self) -> #result<(), #error>
        where
            __Caps: ::interstice_sdk::CanDelete<#row>,
        {
            #sdk::table::clear::<#row>()
        }
    }
}
