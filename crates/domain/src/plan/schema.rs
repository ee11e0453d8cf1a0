//! JSON Schema of a plan, for editors and other programs.

use super::Plan;

/// As `docs/plan.schema.json` has it.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Plan);
    format!("{:#}\n", schema.as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test -p interview-domain schema` writes it.
    #[test]
    fn the_schema_in_the_docs_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plan.schema.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, json_schema()).expect("docs/plan.schema.json is written");
        }
        let written = std::fs::read_to_string(path).expect("docs/plan.schema.json");
        assert!(written == json_schema(), "docs/plan.schema.json is old: UPDATE_DOCS=1 cargo test -p interview-domain schema");
    }
}
