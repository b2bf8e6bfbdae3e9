//! [`OneOrMore`]: a queue of what nearly always comes alone, and then costs no allocation.

use std::collections::VecDeque;

/// First in, first out. The first is kept in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OneOrMore<T> {
    /// There when anything is.
    first: Option<T>,
    more: VecDeque<T>,
}

impl<T> OneOrMore<T> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            more: VecDeque::new(),
        }
    }

    /// This alone.
    pub(crate) const fn one(item: T) -> Self {
        Self {
            first: Some(item),
            more: VecDeque::new(),
        }
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// The next.
    pub(crate) const fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// Takes the next out.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let item = self.first.take()?;
        self.first = self.more.pop_front();
        Some(item)
    }

    /// Adds one behind all others.
    pub(crate) fn push_back(&mut self, item: T) {
        match &self.first {
            None => self.first = Some(item),
            Some(_) => self.more.push_back(item),
        }
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Extend<T> for OneOrMore<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push_back(item));
    }
}

impl<T> FromIterator<T> for OneOrMore<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut all = Self::new();
        all.extend(items);
        all
    }
}

impl<T> IntoIterator for OneOrMore<T> {
    type Item = T;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::OneOrMore;

    #[test]
    fn what_comes_first_goes_first() {
        let mut queue = OneOrMore::new();
        assert_eq!((queue.pop_front(), queue.len()), (None, 0));
        queue.extend([1, 2]);
        assert_eq!(queue.pop_front(), Some(1));
        queue.push_back(3);
        assert_eq!((queue.front(), queue.len()), (Some(&2), 2));
        assert!(queue.iter().eq(&[2, 3]));
        assert_eq!(queue.clone().into_iter().collect::<Vec<_>>(), [2, 3]);
        assert_eq!([queue.pop_front(), queue.pop_front()], [Some(2), Some(3)]);
        assert!(queue.is_empty());
        assert_eq!(OneOrMore::one(7).front(), Some(&7));
    }
}
