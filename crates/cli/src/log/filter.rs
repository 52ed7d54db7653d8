//! Which lines a node logs: what `ASSENT_LOG` asks for.

use std::ffi::OsStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What a node logs if `ASSENT_LOG` asks for nothing.
const DEFAULT_FILTER: &str = "info,openraft=error";

/// The filter that `ASSENT_LOG` asks for; if it cannot be followed, the default one and why.
pub(super) fn filter(asked: Option<&OsStr>) -> (EnvFilter, Option<String>) {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return (EnvFilter::new(DEFAULT_FILTER), None);
    };
    match read_filter(asked) {
        Ok(filter) => (filter, None),
        Err(why) => {
            let asked = asked.display();
            let wrong = format!(
                "`ASSENT_LOG` is `{asked}`, which cannot be followed: {why}; `{DEFAULT_FILTER}` holds instead: give \
                 levels like `debug`, or `assent_cluster=debug` for a module's"
            );
            (EnvFilter::new(DEFAULT_FILTER), Some(wrong))
        }
    }
}

fn read_filter(asked: &OsStr) -> Result<EnvFilter, String> {
    let text = asked.to_str().ok_or("it is not UTF-8 text")?;
    // Spans and their fields may hold commas of their own.
    if text.contains(['[', '{']) {
        return EnvFilter::try_new(text).map_err(|error| error.to_string());
    }
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    }
    // A word alone would be taken for a module all of whose lines are wanted, and of all others none: a level that is spelled wrong
    // would silence the log.
    let is_alone = |word: &&&str| !word.contains(['=', ':']) && word.parse::<LevelFilter>().is_err();
    if let Some(word) = words.iter().find(is_alone) {
        return Err(format!("`{word}` is no level, and a module needs one, as in `{word}=debug`"));
    }
    EnvFilter::try_new(words.join(",")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_followed_is_said_and_the_default_one_holds() {
        for asked in ["loud", "info,loud", "assent_cluster=loud", "inof,openraft=error"] {
            let (filter, wrong) = filter(Some(OsStr::new(asked)));
            assert_eq!(filter.to_string(), EnvFilter::new(DEFAULT_FILTER).to_string(), "{asked}");
            assert!(wrong.unwrap().starts_with(&format!("`ASSENT_LOG` is `{asked}`")), "{asked}");
        }
        for asked in ["", " , ", "debug", "TRACE", "info, openraft=error", "assent_cluster::raft", "off,"] {
            assert_eq!(filter(Some(OsStr::new(asked))).1, None, "{asked}");
        }
        assert_eq!(filter(None).1, None);
    }
}
