//! The setting `--log-level`. [`Targets`] alone takes a misspelt level for a target, and then logs
//! nothing else.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// The level of targets that the list does not name.
const UNNAMED: LevelFilter = LevelFilter::INFO;

/// Parses a level, or a list of `target=level` pairs with at most one level for other targets. Case
/// and spaces around the parts do not matter.
pub(crate) fn log_level(text: &str) -> Result<Targets, String> {
    let mut unnamed = None;
    let mut targets = Targets::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('=') {
            Some((target, spelled)) => {
                targets = targets.with_target(target_name(target)?, level(spelled)?);
            }
            None => {
                if unnamed.replace(level(part)?).is_some() {
                    return Err("expected one level without a target".to_owned());
                }
            }
        }
    }
    Ok(targets.with_default(unnamed.unwrap_or(UNNAMED)))
}

fn level(text: &str) -> Result<LevelFilter, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(
            "expected off, error, warn, info, debug or trace, or target=level pairs such as \
             info,vitalmesh=debug"
                .to_owned(),
        ),
    }
}

/// In lower case, as all targets are.
fn target_name(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-.".contains(&byte);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text),
        false => Err("expected a target such as vitalmesh_server::listener before =".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_one_meaning_in_any_case_and_with_spaces_around() {
        for (texts, level) in [
            (["off", "OFF", " Off"], LevelFilter::OFF),
            (["error", "ERROR", "error "], LevelFilter::ERROR),
            (["warn", "Warning", "\twarning\n"], LevelFilter::WARN),
            (["info", "INFO ", " iNfO"], LevelFilter::INFO),
            (["debug", "DEBUG", " debug "], LevelFilter::DEBUG),
            (["trace", "TRACE", "Trace"], LevelFilter::TRACE),
        ] {
            for text in texts {
                let expected = Targets::new().with_default(level);
                assert_eq!(log_level(text), Ok(expected), "{text:?}");
            }
        }
    }

    #[test]
    fn a_list_names_targets_and_at_most_one_level_for_the_others() {
        let targets = |level| {
            Targets::new()
                .with_default(level)
                .with_target("vitalmesh", LevelFilter::DEBUG)
                .with_target("h2::proto", LevelFilter::OFF)
        };
        for (text, level) in [
            ("warn,vitalmesh=debug,h2::proto=off", LevelFilter::WARN),
            (
                " vitalmesh = DEBUG , WARNING, h2::proto=off ",
                LevelFilter::WARN,
            ),
            ("WARN,VitalMesh=Debug,H2::PROTO=OFF", LevelFilter::WARN),
            // Errors of other targets stay visible.
            ("vitalmesh=debug,h2::proto=off", LevelFilter::INFO),
        ] {
            assert_eq!(log_level(text), Ok(targets(level)), "{text:?}");
        }
        assert!(log_level("info,debug").unwrap_err().contains("one level"));
    }

    #[test]
    fn anything_else_is_rejected_with_the_levels() {
        for wrong in [
            "",
            " ",
            ",",
            "info,",
            "critical",
            "verbose",
            "in fo",
            "1",
            "info;debug",
            "vitalmesh",
            "vitalmesh=",
            "vitalmesh=loud",
            "vitalmesh=info=debug",
        ] {
            let error = log_level(wrong).unwrap_err();
            let expected = "expected off, error, warn, info, debug or trace";
            assert!(error.starts_with(expected), "{wrong:?}: {error}");
        }
        for wrong in ["=info", " =info", "vital mesh=info"] {
            let error = log_level(wrong).unwrap_err();
            assert!(error.starts_with("expected a target"), "{wrong:?}: {error}");
        }
    }
}
