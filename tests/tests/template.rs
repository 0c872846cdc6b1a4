//! `template.yaml`, beyond what a linter checks: it fits the crates, and its queues lose nothing.

use cargo_metadata::MetadataCommand;
use serde_norway::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// AWS recommends a visibility timeout of at least six times the timeout of the function that reads the queue.
const VISIBILITY_FACTOR_MIN: u64 = 6;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is around this package")
        .to_owned()
}

/// The template, with `!GetAtt A.B` as `{"GetAtt": "A.B"}` and so on.
fn template() -> Value {
    let text = fs::read_to_string(root().join("template.yaml")).expect("template.yaml");
    untagged(serde_norway::from_str(&text).expect("template.yaml is YAML"))
}

fn untagged(value: Value) -> Value {
    match value {
        Value::Tagged(tagged) => {
            let name = tagged.tag.to_string().trim_start_matches('!').to_owned();
            let entry = (Value::String(name), untagged(tagged.value));
            Value::Mapping([entry].into_iter().collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(untagged).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (key, untagged(value))).collect())
        }
        other => other,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is no text"))
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_mapping()
        .into_iter()
        .flatten()
        .map(|(key, value)| (text(key), value))
}

/// The template may give one value or a list.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Sequence(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn resources<'a>(template: &'a Value, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    entries(&template["Resources"]).filter(move |(_, resource)| resource["Type"] == kind)
}

fn functions(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    resources(template, "AWS::Serverless::Function")
}

/// A property of a function, or the global one.
fn property<'a>(template: &'a Value, function: &'a Value, name: &str) -> &'a Value {
    match &function["Properties"][name] {
        Value::Null => &template["Globals"]["Function"][name],
        own => own,
    }
}

/// The crate a function is built from.
fn binary(function: &Value) -> &str {
    text(&function["Metadata"]["BuildProperties"]["Binary"])
}

/// The name in `!GetAtt Name.Arn`.
fn arn_of(value: &Value) -> &str {
    text(&value["GetAtt"])
        .strip_suffix(".Arn")
        .expect("the Arn of a resource")
}

#[test]
fn functions_are_built_for_arm_from_a_crate_each() {
    let template = template();
    let mut built = BTreeSet::new();
    for (name, function) in functions(&template) {
        assert_eq!(property(&template, function, "Runtime"), "provided.al2023", "{name}");
        assert_eq!(
            list(property(&template, function, "Architectures")),
            [&Value::from("arm64")],
            "{name}"
        );
        assert_eq!(property(&template, function, "Handler"), "bootstrap", "{name}");
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda", "{name}");
        assert!(
            built.insert(binary(function).to_owned()),
            "{name}: {} is built twice",
            binary(function)
        );
    }
    let crates = fs::read_dir(root().join("functions"))
        .expect("functions/")
        .map(|entry| entry.expect("a directory entry").file_name());
    assert_eq!(built, crates.map(|name| name.to_string_lossy().into_owned()).collect());
}

#[test]
fn queues_report_failures_per_message_and_wait_long_enough() {
    let template = template();
    let mut sources = 0;
    for (name, function) in functions(&template) {
        for (event, source) in entries(&function["Properties"]["Events"]).filter(|(_, source)| source["Type"] == "SQS")
        {
            sources += 1;
            let responses = list(&source["Properties"]["FunctionResponseTypes"]);
            assert!(
                responses.iter().any(|kind| **kind == "ReportBatchItemFailures"),
                "{name}.{event}"
            );
            let queue_name = arn_of(&source["Properties"]["Queue"]);
            let queue = &template["Resources"][queue_name]["Properties"];
            let timeout_s = property(&template, function, "Timeout").as_u64().expect("a timeout");
            let window_s = source["Properties"]["MaximumBatchingWindowInSeconds"]
                .as_u64()
                .unwrap_or(0);
            let visibility_s = queue["VisibilityTimeout"].as_u64().expect("a visibility timeout");
            assert!(
                visibility_s >= VISIBILITY_FACTOR_MIN * timeout_s + window_s,
                "{queue_name}: {visibility_s} s for {timeout_s} s"
            );
        }
    }
    assert!(sources >= 3, "the import, segmentation and reward queues are read");
}

#[test]
fn every_queue_that_is_read_has_a_dead_letter_queue_that_is_not() {
    let template = template();
    let mut read = BTreeSet::new();
    for (_, function) in functions(&template) {
        for (_, source) in entries(&function["Properties"]["Events"]).filter(|(_, source)| source["Type"] == "SQS") {
            read.insert(arn_of(&source["Properties"]["Queue"]));
        }
    }
    for queue in &read {
        let redrive = &template["Resources"][*queue]["Properties"]["RedrivePolicy"];
        let dead_letters = arn_of(&redrive["deadLetterTargetArn"]);
        assert_eq!(
            template["Resources"][dead_letters]["Type"], "AWS::SQS::Queue",
            "{queue}"
        );
        assert!(!read.contains(dead_letters), "{dead_letters} is read by a function");
        assert_eq!(
            redrive["maxReceiveCount"].as_u64(),
            Some(5),
            "{queue}: the workers give up a shard at its fifth delivery"
        );
    }
}

/// `cargo lambda watch` alone serves the same routes.
#[test]
fn routes_are_those_of_cargo_lambda() {
    let template = template();
    let mut routes = BTreeMap::new();
    for (_, function) in functions(&template) {
        for (_, route) in entries(&function["Properties"]["Events"]).filter(|(_, source)| source["Type"] == "HttpApi") {
            let path = text(&route["Properties"]["Path"]);
            let other = routes.insert(path.replace("{proxy+}", "{*rest}"), binary(function).to_owned());
            assert_eq!(other, None, "{path} routes to two functions");
        }
    }
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let router = metadata.workspace_metadata["lambda"]["watch"]["router"]
        .as_object()
        .expect("[workspace.metadata.lambda.watch.router]");
    let watched: BTreeMap<String, String> = router
        .iter()
        .map(|(path, function)| {
            (
                path.clone(),
                function.as_str().expect("the name of a function").to_owned(),
            )
        })
        .collect();
    assert_eq!(routes, watched);
}

#[test]
fn permissions_name_what_they_allow() {
    let template = template();
    for (name, function) in functions(&template) {
        assert_eq!(
            function["Properties"]["Role"],
            Value::Null,
            "{name} uses a role from outside the template"
        );
        for policy in list(&function["Properties"]["Policies"]) {
            let statements = list(&policy["Statement"]);
            assert!(!statements.is_empty(), "{name}: {policy:?} has no explicit statements");
            for statement in statements {
                assert_eq!(statement["Effect"], "Allow", "{name}");
                for action in list(&statement["Action"]) {
                    assert!(!text(action).contains('*'), "{name}: {action:?}");
                }
                for resource in list(&statement["Resource"]) {
                    assert!(names_a_resource(&template, resource), "{name}: {resource:?}");
                }
            }
        }
    }
}

/// `!GetAtt Name.Arn`, or what is inside one: `!Sub "${Name.Arn}/*"`.
fn names_a_resource(template: &Value, resource: &Value) -> bool {
    let name = resource["GetAtt"]
        .as_str()
        .or_else(|| resource["Sub"].as_str()?.strip_prefix("${")?.split('}').next());
    name.and_then(|name| name.strip_suffix(".Arn"))
        .is_some_and(|name| template["Resources"][name]["Type"].is_string())
}

/// A function that reads a queue has the permissions for it, and only `migrate` connects as the owner.
#[test]
fn permissions_are_enough_for_the_queues() {
    let template = template();
    for (name, function) in functions(&template) {
        for (_, source) in entries(&function["Properties"]["Events"]).filter(|(_, source)| source["Type"] == "SQS") {
            let queue = &source["Properties"]["Queue"];
            let statements = list(&function["Properties"]["Policies"])
                .into_iter()
                .flat_map(|policy| list(&policy["Statement"]));
            let allowed: BTreeSet<&str> = statements
                .filter(|statement| list(&statement["Resource"]).contains(&queue))
                .flat_map(|statement| list(&statement["Action"]).into_iter().map(text))
                .collect();
            for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
                assert!(allowed.contains(action), "{name} may not {action} {queue:?}");
            }
        }
        let database = &function["Properties"]["Environment"]["Variables"]["DATABASE_URL"];
        assert_eq!(
            database["Ref"] == "MigrationDatabaseUrl",
            binary(function) == "migrate",
            "{name}"
        );
    }
}

/// A function that is given the address of a queue or bucket has a permission on it, and vice versa.
#[test]
fn functions_may_use_what_they_are_told_of() {
    let template = template();
    for (name, function) in functions(&template) {
        let variables = entries(&function["Properties"]["Environment"]["Variables"]);
        let told: BTreeSet<&str> = variables
            .filter_map(|(_, value)| value["Ref"].as_str())
            .filter(|name| template["Resources"][*name].is_mapping())
            .collect();
        let policies = serde_norway::to_string(&function["Properties"]["Policies"]).expect("YAML");
        for resource in told {
            assert!(
                policies.contains(&format!("{resource}.Arn")),
                "{name} gets the address of {resource}, but no permission on it"
            );
        }
    }
}

/// `cargo lambda build --release` passes `-C panic=abort` unless the profile names a panic strategy. Both
/// `catch_unwind` of `lambda` would then do nothing, but only in production: no test built by cargo can see it.
#[test]
fn a_panic_unwinds_in_production_too() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let (_, profile) = manifest.split_once("\n[profile.release]\n").expect("a release profile");
    let profile = profile.split("\n[").next().unwrap_or_default();
    assert!(profile.lines().any(|line| line == "panic = \"unwind\""), "{profile}");
}
