//! YAML events to a tree: anchors and merge keys (`<<`) are resolved here, and what a compose
//! file cannot mean (a key given twice, an unknown tag) is refused.
//!
//! The marks of what an alias brings in stay those of the anchored text, which is where a mistake
//! in it is mended.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{
    notes::Notes,
    tree::{Entry, Mark, Node, Value, item_path, key_path},
};
use crate::error::Problem;

/// A compose file of a hundred services has some thousands of nodes. Aliases of aliases multiply
/// ("a billion laughs"), so the nodes that they bring in count too.
const NODES_MAX: usize = 50_000;
/// The deepest place that the Compose Specification knows is nine levels down.
const NESTING_MAX: usize = 48;

/// The one document of `text`, or nothing when it cannot be read to its end; what is wrong with
/// it goes to `notes`. A problem of the file as a whole has `file_name` as its path.
pub(super) fn parse(file_name: &str, text: &str, notes: &mut Notes) -> Option<Node> {
    let options = granit_parser::options! {
        flow_nesting_limit: NESTING_MAX,
        block_nesting_limit: NESTING_MAX,
    };
    let mut builder = Builder {
        notes,
        file_name,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        documents: 0,
        root: None,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, mark(&span.start)),
            Err(error) => {
                let message = format!("this is not valid YAML: {}", error.info());
                Err(mark(error.marker()).problem(file_name, message))
            }
        };
        if let Err(problem) = step {
            builder.notes.problem(problem);
            return None;
        }
    }
    let root = builder.root.filter(|root| !root.is_null());
    if root.is_none() {
        let begin = Mark { line: 1, column: 1 };
        notes.problem(begin.problem(file_name, "the file is empty; it has to name services"));
    }
    root
}

fn mark(marker: &Marker) -> Mark {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Mark { line: number(marker.line()), column: number(marker.col() + 1) }
}

struct Builder<'a> {
    notes: &'a mut Notes,
    file_name: &'a str,
    /// The collections whose ends have not been seen yet, outermost first.
    open: Vec<Open>,
    /// Complete anchored nodes, by the parser's number for the anchor.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

struct Open {
    mark: Mark,
    /// 0: none.
    anchor: usize,
    collection: Collection,
}

enum Collection {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    /// The keys of the entries, and the lines they are in.
    lines: HashMap<String, u32>,
    merges: Vec<Node>,
    /// The key whose value comes next.
    key: Option<Key>,
}

enum Key {
    Text(String, Mark),
    Merge,
    /// Refused already; its value is dropped.
    Refused,
}

/// A mistake in a mapping, before its path is known.
struct Fault {
    key: String,
    mark: Mark,
    message: String,
}

impl Builder<'_> {
    /// An error ends the reading.
    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here; a compose file is one document";
                    return Err(mark.problem(self.file_name, message));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), mark);
                let text = text.into_owned();
                self.close(anchor, Node { mark, value: Value::Scalar { text, plain } })?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["seq"], mark);
                let collection = Collection::Sequence(Vec::new());
                self.open.push(Open { mark, anchor, collection });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["map"], mark);
                let collection = Collection::Mapping(Mapping::default());
                self.open.push(Open { mark, anchor, collection });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mark, anchor, collection }) = self.open.pop() else {
                    return Ok(());
                };
                let value = match collection {
                    Collection::Sequence(items) => Value::Sequence(items),
                    Collection::Mapping(mapping) => Value::Mapping(self.merge(mapping)),
                };
                self.close(anchor, Node { mark, value })?;
            }
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(Node::size) else {
                    return Err(mark.problem(self.place(), "an alias inside the node it names"));
                };
                self.count(size, mark)?;
                if let Some(node) = self.anchors.get(&anchor).cloned() {
                    self.add(node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A node is complete.
    fn close(&mut self, anchor: usize, node: Node) -> Result<(), Problem> {
        self.count(1, node.mark)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.add(node);
        Ok(())
    }

    fn count(&mut self, nodes: usize, mark: Mark) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let message = format!("the file has more than {NODES_MAX} values, aliases included");
            return Err(mark.problem(self.file_name, message));
        }
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn add(&mut self, node: Node) {
        let fault = match self.open.last_mut().map(|open| &mut open.collection) {
            None => {
                self.root = Some(node);
                None
            }
            Some(Collection::Sequence(items)) => {
                items.push(node);
                None
            }
            Some(Collection::Mapping(mapping)) => mapping.add(node),
        };
        if let Some(Fault { key, mark, message }) = fault {
            let path = key_path(&self.path(), &key);
            self.notes.problem(mark.problem(path, message));
        }
    }

    /// What a mapping has after its merge keys: its own entries first, then those of the merged
    /// mappings, the earlier ones before the later (<https://yaml.org/type/merge.html>).
    fn merge(&mut self, mapping: Mapping) -> Vec<Entry> {
        let Mapping { mut entries, mut lines, merges, .. } = mapping;
        let mut sources = Vec::new();
        for node in merges {
            match node.value {
                Value::Sequence(items) => sources.extend(items),
                _ => sources.push(node),
            }
        }
        for source in sources {
            let Value::Mapping(merged) = source.value else {
                let message = "'<<' merges a mapping or a list of mappings, usually by an alias";
                self.notes.problem(source.mark.problem(key_path(&self.path(), "<<"), message));
                continue;
            };
            for entry in merged {
                if !lines.contains_key(&entry.key) {
                    lines.insert(entry.key.clone(), entry.mark.line);
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn is_plain(&mut self, style: ScalarStyle, tag: Option<&Tag>, mark: Mark) -> bool {
        self.check_tag(tag, &["str", "int", "float", "bool", "null"], mark);
        match tag.and_then(Tag::core_suffix) {
            Some("str") => false,
            Some(_) => true,
            None => style == ScalarStyle::Plain,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &[&str], mark: Mark) {
        let Some(tag) = tag else { return };
        if tag.core_suffix().is_some_and(|suffix| expected.contains(&suffix)) {
            return;
        }
        let name = tag.original();
        let why = match name.as_str() {
            "!reset" | "!override" => "it merges several files, which Crane does not do yet",
            _ => "a compose file has no use for it here",
        };
        let message = format!("the tag '{name}' is not handled: {why}");
        self.notes.problem(mark.problem(self.place(), message));
    }

    /// The path of the node that comes next, or the file's name at its top.
    fn place(&self) -> String {
        let path = self.path();
        if path.is_empty() { self.file_name.to_owned() } else { path }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.collection {
                Collection::Sequence(items) => path = item_path(&path, items.len()),
                Collection::Mapping(Mapping { key: Some(Key::Text(key, _)), .. }) => {
                    path = key_path(&path, key);
                }
                Collection::Mapping(_) => {}
            }
        }
        path
    }
}

impl Mapping {
    /// Takes a key and a value in turns.
    fn add(&mut self, node: Node) -> Option<Fault> {
        match self.key.take() {
            None => match node.value {
                Value::Scalar { text, plain: true } if text == "<<" => self.key = Some(Key::Merge),
                Value::Scalar { text, .. } => self.key = Some(Key::Text(text, node.mark)),
                _ => {
                    self.key = Some(Key::Refused);
                    let message = "a key has to be text".to_owned();
                    return Some(Fault { key: "?".to_owned(), mark: node.mark, message });
                }
            },
            Some(Key::Text(key, mark)) => {
                if let Some(line) = self.lines.get(&key) {
                    let message = format!("'{key}' is given twice, first in line {line}");
                    return Some(Fault { key, mark, message });
                }
                self.lines.insert(key.clone(), mark.line);
                self.entries.push(Entry { key, mark, node });
            }
            Some(Key::Merge) => self.merges.push(node),
            Some(Key::Refused) => {}
        }
        None
    }
}
