//! The modules of a crate, and which modules each of them uses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::text::{group_end, is_word, tokens, without_tests};

/// A module, by the names that lead to it from the root of its crate. The root has none.
pub(super) type Place = Vec<String>;

/// The modules of a crate.
pub(super) type Modules = BTreeMap<Place, Module>;

/// For each module those that it uses, with one path by which it does.
pub(super) type Uses = BTreeMap<Place, BTreeMap<Place, String>>;

/// What the text of a module names.
#[derive(Default)]
pub(super) struct Module {
    imports: Vec<Import>,
    /// The items that it defines at its top.
    items: BTreeSet<String>,
    /// The paths of more than one name in its code.
    paths: Vec<Vec<String>>,
}

/// One name that a module imports.
struct Import {
    path: Vec<String>,
    /// The name by which it goes here; `*` for every name in a module.
    name: String,
}

/// Where a path leads.
enum Found {
    /// To an item of this module.
    Item(Place),
    /// To this module itself.
    Module(Place),
}

/// Reads the tree of a `use` from `at` on, and answers where it ends.
fn imports(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = prefix.to_vec();
    if tokens[at] == "::" {
        at += 1;
    }
    loop {
        let name = tokens[at].clone();
        at += 1;
        match name.as_str() {
            "{" => {
                while tokens[at] != "}" {
                    at = imports(tokens, at, &path, found);
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                found.push(Import { path, name });
                return at;
            }
            _ => {}
        }
        let is_itself = name == "self" && !path.is_empty();
        if !is_itself {
            path.push(name);
        }
        if tokens[at] == "::" {
            at += 1;
            continue;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if tokens[at] == "as" {
            name.clone_from(&tokens[at + 1]);
            at += 2;
        }
        found.push(Import { path, name });
        return at;
    }
}

/// What a module's text names.
fn module(tokens: &[String]) -> Module {
    let mut module = Module::default();
    let (mut at, mut depth) = (0, 0_usize);
    while at < tokens.len() {
        let next = tokens.get(at + 1).map_or("", String::as_str);
        match tokens[at].as_str() {
            "use" if next != "<" => {
                at = imports(tokens, at + 1, &[], &mut module.imports);
                continue;
            }
            // Who may see an item is no use of a module.
            "pub" if next == "(" && tokens[at + 2] == "in" => {
                at = group_end(tokens, at + 1);
                continue;
            }
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static"
                if depth == 0 && is_word(next) =>
            {
                module.items.insert(next.to_owned());
            }
            "macro_rules" => {
                module.items.insert(tokens[at + 2].clone());
            }
            token if is_word(token) && next == "::" && (at == 0 || tokens[at - 1] != "::") => {
                let mut path = vec![token.to_owned()];
                while tokens.get(at + 1).is_some_and(|sign| sign == "::")
                    && let Some(name) = tokens.get(at + 2).filter(|name| is_word(name))
                {
                    path.push(name.clone());
                    at += 2;
                }
                module.paths.push(path);
            }
            _ => {}
        }
        at += 1;
    }
    module
}

/// The modules of a crate, from the paths of its files below `src` and their texts.
pub(super) fn modules<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Modules {
    let mut modules = Modules::new();
    let mut of_tests: Vec<Place> = Vec::new();
    for (file, text) in files {
        let mut place: Place = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        place.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        let mut names = Vec::new();
        let kept = without_tests(&tokens(text), &mut names);
        of_tests.extend(names.into_iter().map(|name| child(&place, &name)));
        modules.insert(place, module(&kept));
    }
    modules.retain(|place, _| !of_tests.iter().any(|test| place.starts_with(test)));
    modules
}

fn child(place: &[String], name: &str) -> Place {
    place.iter().cloned().chain([name.to_owned()]).collect()
}

/// Where a path leads that is written in the module `from`; none if it leads out of the crate. `tried` keeps imports that name each
/// other from going on for ever.
fn resolve(
    modules: &Modules,
    from: &Place,
    path: &[String],
    tried: &mut BTreeSet<(Place, Vec<String>)>,
) -> Option<Found> {
    if !tried.insert((from.clone(), path.to_vec())) {
        return None;
    }
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => return inside(modules, Place::new(), rest, tried),
        "self" => return inside(modules, from.clone(), rest, tried),
        "super" => return inside(modules, parent(from), rest, tried),
        _ => {}
    }
    let below = child(from, first);
    if modules.contains_key(&below) {
        return inside(modules, below, rest, tried);
    }
    let module = modules.get(from)?;
    for import in module.imports.iter().filter(|import| import.name == *first) {
        match resolve(modules, from, &import.path, tried) {
            Some(Found::Module(place)) => return inside(modules, place, rest, tried),
            Some(Found::Item(place)) => return Some(Found::Item(place)),
            None => {}
        }
    }
    for import in module.imports.iter().filter(|import| import.name == "*") {
        if let Some(Found::Module(place)) = resolve(modules, from, &import.path, tried)
            && modules[&place].items.contains(first)
        {
            return Some(Found::Item(place));
        }
    }
    module.items.contains(first).then(|| Found::Item(from.clone()))
}

/// Where the rest of a path leads that has led to the module `place`. A name that is not found there is one that a macro defines.
fn inside(
    modules: &Modules,
    place: Place,
    path: &[String],
    tried: &mut BTreeSet<(Place, Vec<String>)>,
) -> Option<Found> {
    let module = modules.get(&place)?;
    let Some(first) = path.first() else { return Some(Found::Module(place)) };
    if module.items.contains(first) && !modules.contains_key(&child(&place, first)) {
        return Some(Found::Item(place));
    }
    Some(resolve(modules, &place, path, tried).unwrap_or(Found::Item(place)))
}

fn parent(place: &[String]) -> Place {
    place.split_last().map_or_else(Place::new, |(_, above)| above.to_vec())
}

/// Which module uses which.
pub(super) fn uses(modules: &Modules) -> Uses {
    let mut all = Uses::new();
    for (from, module) in modules {
        let uses = all.entry(from.clone()).or_default();
        let mut add = |to: Place, path: &[String]| {
            if to != *from {
                uses.entry(to).or_insert_with(|| path.join("::"));
            }
        };
        for Import { path, name } in &module.imports {
            match resolve(modules, from, path, &mut BTreeSet::new()) {
                Some(Found::Item(to)) => add(to, path),
                Some(Found::Module(to)) if name == "*" => add(to, path),
                // What is used of an imported module is written as a path.
                Some(Found::Module(_)) | None => {}
            }
        }
        for path in &module.paths {
            let found = resolve(modules, from, path, &mut BTreeSet::new());
            if let Some(Found::Item(to) | Found::Module(to)) = found {
                add(to, path);
            }
        }
    }
    all
}

/// The shortest way from a module to another one, or back to itself, by what they use.
fn way(uses: &Uses, from: &Place, to: &Place) -> Option<Vec<Place>> {
    let mut open = VecDeque::from([vec![from.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = open.pop_front() {
        for next in uses[way.last()?].keys() {
            let further: Vec<Place> = way.iter().chain([next]).cloned().collect();
            if next == to {
                return Some(further);
            }
            if seen.insert(next.clone()) {
                open.push_back(further);
            }
        }
    }
    None
}

/// Every module that a module reaches by what it uses.
fn reached<'a>(uses: &'a Uses, from: &'a Place) -> BTreeSet<&'a Place> {
    let mut open = vec![from];
    let mut reached = BTreeSet::new();
    while let Some(place) = open.pop() {
        for next in uses[place].keys() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The sets of modules that all reach one another.
pub(super) fn knots(uses: &Uses) -> BTreeSet<BTreeSet<Place>> {
    let reach: BTreeMap<&Place, BTreeSet<&Place>> =
        uses.keys().map(|place| (place, reached(uses, place))).collect();
    let mut knots = BTreeSet::new();
    for (one, reached) in &reach {
        let knot = reached.iter().filter(|other| reach[**other].contains(*one));
        let knot: BTreeSet<Place> = knot.map(|other| (*other).clone()).collect();
        if !knot.is_empty() {
            knots.insert(knot);
        }
    }
    knots
}

/// A module as it is written.
pub(super) fn name(place: &[String]) -> String {
    if place.is_empty() { "the root".to_owned() } else { place.join("::") }
}

/// The shortest circle of a knot, step by step.
pub(super) fn circle(uses: &Uses, knot: &BTreeSet<Place>) -> String {
    let ways = knot.iter().filter_map(|place| way(uses, place, place));
    let shortest = ways.min_by_key(Vec::len).unwrap();
    let step = |pair: &[Place]| {
        format!("    `{}` uses `{}`, by `{}`", name(&pair[0]), name(&pair[1]), uses[&pair[0]][&pair[1]])
    };
    shortest.windows(2).map(step).collect::<Vec<_>>().join("\n")
}
