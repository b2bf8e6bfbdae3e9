//! Names of generated items, and those that cannot be given.

/// Methods that every context has. A binding's accessor comes from a trait, so a method of the same name would hide it.
const OF_CONTEXTS: [&str; 9] = [
    "caller_is_owner",
    "cancel",
    "clone",
    "current_node_id",
    "deterministic_random_u64",
    "log",
    "schedule",
    "seq",
    "time_now_ms",
];

/// Methods that everything has by the standard prelude, found before a trait's method that takes `&self`.
const OF_EVERYTHING: [&str; 4] = ["clone_into", "into", "to_owned", "try_into"];

/// `<snake>`: lower case, `-` as `_`.
pub(super) fn snake(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// `<Camel>`: each `_`-separated part of `<snake>` capitalised.
pub(super) fn camel(name: &str) -> String {
    snake(name)
        .split('_')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect::<Vec<char>>()
        })
        .collect()
}

/// Whether `ctx.<snake>()` would call a method of the context.
pub(super) fn hides_on_context(snake: &str) -> bool {
    OF_CONTEXTS.contains(&snake) || hides(snake)
}

/// Whether `.<snake>()` would call a method that every value has.
pub(super) fn hides(snake: &str) -> bool {
    OF_EVERYTHING.contains(&snake)
}

#[cfg(test)]
mod tests {
    use super::{camel, snake};

    #[test]
    fn names_follow_the_two_patterns() {
        for (name, expected_snake, expected_camel) in [
            ("hello-example", "hello_example", "HelloExample"),
            ("module_manager", "module_manager", "ModuleManager"),
            ("Agar-Server2", "agar_server2", "AgarServer2"),
            ("a", "a", "A"),
        ] {
            assert_eq!(snake(name), expected_snake);
            assert_eq!(camel(name), expected_camel);
        }
    }
}
