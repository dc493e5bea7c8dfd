//! One value for each row, put together from a column's pages.

use crate::footer::Leaf;
use crate::pages::{Page, Pages};
use crate::{Source, Table};
use std::sync::Arc;

/// Bytes of the texts of one list.
const MAX_LIST: usize = 1 << 20;

/// What a column holds in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    /// A text, or other bytes.
    Bytes(Vec<u8>),
    /// A list; elements may be missing.
    List(Vec<Option<Vec<u8>>>),
}

/// The values of a column, from the first row on. After an error there is nothing more.
pub struct Rows<S> {
    table: Arc<Table<S>>,
    leaf: Leaf,
    /// The next group of rows.
    group: usize,
    /// Rows of the one before that are still to come.
    left: u64,
    pages: Option<Pages>,
    page: Page,
    /// The next place in the page, and the next value that is there.
    at: usize,
    value: usize,
    done: bool,
}

/// One place of a page: how deep it goes on with the list before, how much of it is there.
#[derive(Clone, Copy)]
struct Place {
    rep: u32,
    def: u32,
}

impl<S: Source> Rows<S> {
    pub(crate) fn new(table: Arc<Table<S>>, leaf: Leaf) -> Self {
        let done = leaf.readable().is_err();
        let page = Page::default();
        Self { table, leaf, group: 0, left: 0, pages: None, page, at: 0, value: 0, done }
    }

    /// Passes over rows: groups that lie before are not read.
    ///
    /// # Errors
    /// A page cannot be read.
    pub fn skip_rows(&mut self, mut count: u64) -> Result<(), String> {
        while count > 0 && !self.done {
            let groups = &self.table.footer.groups;
            match groups.get(self.group) {
                Some(next) if self.left == 0 && next.rows <= count => {
                    count -= next.rows;
                    self.group += 1;
                }
                _ => {
                    count -= 1;
                    if self.row(false).transpose()?.is_none() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// The next row; without `keep` its value is left out.
    fn row(&mut self, keep: bool) -> Option<Result<Value, String>> {
        if self.done {
            return None;
        }
        let row = self.try_row(keep);
        if !matches!(row, Ok(Some(_))) {
            self.done = true;
        }
        row.transpose()
    }

    fn try_row(&mut self, keep: bool) -> Result<Option<Value>, String> {
        while self.left == 0 {
            if self.place()?.is_some() {
                return Err("a column goes on behind the last row".to_owned());
            }
            let Some(group) = self.table.footer.groups.get(self.group) else { return Ok(None) };
            self.left = group.rows;
            self.pages = group.chunks.get(self.leaf.index).map(|chunk| Pages::new(&self.leaf, *chunk));
            self.group += 1;
        }
        self.left -= 1;
        let first = self.place()?.ok_or("a column ends before the last row")?;
        if first.rep != 0 {
            return Err("a list begins in no row".to_owned());
        }
        let full = u32::from(self.leaf.max_def);
        if self.leaf.is_single() {
            return Ok(Some(if first.def == full { Value::Bytes(self.take(keep)) } else { self.pass() }));
        }
        let list_def = u32::from(self.leaf.list_def);
        if first.def < list_def {
            // An empty list has all but an element.
            let null = self.pass();
            return Ok(Some(if first.def + 1 == list_def { Value::List(Vec::new()) } else { null }));
        }
        let (mut list, mut bytes) = (Vec::new(), 0);
        let mut place = first;
        loop {
            let element = if place.def == full { Some(self.take(keep)) } else { self.skip_one() };
            bytes += element.as_ref().map_or(1, |e| e.len() + 1);
            if bytes > MAX_LIST {
                return Err(format!("a list has more than {} MiB", MAX_LIST >> 20));
            }
            if keep {
                list.push(element);
            }
            match self.place()? {
                Some(next) if next.rep > 0 => place = next,
                _ => return Ok(Some(Value::List(list))),
            }
        }
    }

    /// What comes next in the group; none: nothing.
    fn place(&mut self) -> Result<Option<Place>, String> {
        while self.at >= self.page.count {
            let Some(pages) = &mut self.pages else { return Ok(None) };
            let Some(page) = pages.next(&self.table.source)? else {
                self.pages = None;
                return Ok(None);
            };
            (self.page, self.at, self.value) = (page, 0, 0);
        }
        let full = self.leaf.max_def.into();
        let of = |levels: &[u32], usual| levels.get(self.at).copied().unwrap_or(usual);
        Ok(Some(Place { rep: of(&self.page.reps, 0), def: of(&self.page.defs, full) }))
    }

    fn take(&mut self, keep: bool) -> Vec<u8> {
        let value = if keep { self.page.value(self.value).to_vec() } else { Vec::new() };
        self.at += 1;
        self.value += 1;
        value
    }

    fn skip_one(&mut self) -> Option<Vec<u8>> {
        self.at += 1;
        None
    }

    fn pass(&mut self) -> Value {
        self.at += 1;
        Value::Null
    }
}

impl<S: Source> Iterator for Rows<S> {
    type Item = Result<Value, String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row(true)
    }
}
