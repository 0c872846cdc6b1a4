//! `template.yaml` as the local stack reads it: intrinsic functions are resolved against local names, and whatever
//! the stack cannot imitate is refused rather than left out.

mod resolver;

use resolver::Resolver;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_norway::Value;

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("{path}: {problem}")]
    Unreadable { path: String, problem: String },
    #[error("template.yaml, {place}: {problem}")]
    Invalid { place: String, problem: String },
}

fn invalid(place: &str, problem: impl Into<String>) -> TemplateError {
    TemplateError::Invalid {
        place: place.to_owned(),
        problem: problem.into(),
    }
}

/// What the template's names stand for on this machine.
#[derive(Clone, Debug)]
pub struct Names {
    /// Address of SQS, such as `http://127.0.0.1:4566`.
    pub endpoint: String,
    pub region: String,
    pub account: String,
    pub stack: String,
    /// Values of parameters. Parameters not named here keep their defaults.
    pub parameters: BTreeMap<String, String>,
}

/// The template, resolved.
#[derive(Clone, Debug)]
pub struct Template {
    pub functions: Vec<Function>,
    pub buckets: Vec<Bucket>,
    /// Dead-letter queues of other queues come first.
    pub queues: Vec<Queue>,
}

/// One Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of its binary, which is also its name in the local stack.
    pub name: String,
    pub timeout: Duration,
    pub memory_mb: u64,
    pub environment: BTreeMap<String, String>,
    pub routes: Vec<Route>,
    pub mappings: Vec<Mapping>,
    pub schedules: Vec<Schedule>,
}

/// A schedule of EventBridge Scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub every: Duration,
    /// The event that the function receives.
    pub input: String,
}

/// A route of the HTTP API, such as `ANY /api/players/{proxy+}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub method: String,
    pub path: String,
}

/// An event source mapping from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub queue_arn: String,
    /// Maximum of messages per invocation, 1 to 10.
    pub batch_size: usize,
    /// How long to collect a batch.
    pub batching_window: Duration,
    /// Whether the function names the messages that failed; the others count as done.
    pub reports_failures: bool,
    /// Maximum of concurrent invocations.
    pub concurrency: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// (event, queue ARN) of each notification.
    pub notifications: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// The attributes of `CreateQueue` that the local SQS honours.
    pub attributes: BTreeMap<String, String>,
}

/// Resources without a local counterpart: permissions and logs.
const NOT_IMITATED: [&str; 6] = [
    "AWS::Serverless::HttpApi",
    "AWS::Logs::LogGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::IAM::Role",
    "AWS::CloudWatch::Alarm",
];

const QUEUE_ATTRIBUTES: [&str; 5] = [
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "MaximumMessageSize",
];

impl Template {
    /// Reads and resolves the template.
    pub fn read(path: &Path, names: &Names) -> Result<Self, TemplateError> {
        let unreadable = |problem: String| TemplateError::Unreadable {
            path: path.display().to_string(),
            problem,
        };
        let text = fs::read_to_string(path).map_err(|problem| unreadable(problem.to_string()))?;
        let document: Value = serde_norway::from_str(&text).map_err(|problem| unreadable(problem.to_string()))?;
        Self::resolve(&document, names)
    }

    fn resolve(document: &Value, names: &Names) -> Result<Self, TemplateError> {
        let resources = document
            .get("Resources")
            .and_then(Value::as_mapping)
            .ok_or_else(|| invalid("Resources", "there are none"))?
            .iter()
            .filter_map(|(id, resource)| Some((id.as_str()?, resource)));
        let resources: BTreeMap<&str, &Value> = resources.collect();
        let resolver = Resolver {
            names,
            resources: &resources,
            parameters: document.get("Parameters"),
        };
        let globals = document
            .get("Globals")
            .and_then(|globals| globals.get("Function"))
            .unwrap_or(&Value::Null);
        let mut template = Self {
            functions: Vec::new(),
            buckets: Vec::new(),
            queues: Vec::new(),
        };
        for (id, resource) in &resources {
            let properties = resource.get("Properties").unwrap_or(&Value::Null);
            match kind(resource) {
                "AWS::Serverless::Function" => template.functions.push(function(&resolver, id, resource, globals)?),
                "AWS::S3::Bucket" => template.buckets.push(bucket(&resolver, id, properties)?),
                "AWS::SQS::Queue" => template.queues.push(queue(&resolver, id, properties)?),
                other if NOT_IMITATED.contains(&other) => {}
                other => return Err(invalid(id, format!("the local stack has no counterpart of {other}"))),
            }
        }
        template
            .queues
            .sort_by_key(|queue| queue.attributes.contains_key("RedrivePolicy"));
        Ok(template)
    }

    /// The function that handles a request: the route with the longest fixed part wins.
    pub fn function_at(&self, method: &str, path: &str) -> Option<&Function> {
        let matching = self.functions.iter().flat_map(|function| {
            function
                .routes
                .iter()
                .filter(|route| route.matches(method, path))
                .map(move |route| (route.specificity(), function))
        });
        matching
            .max_by_key(|(specificity, _)| *specificity)
            .map(|(_, function)| function)
    }
}

impl Route {
    fn matches(&self, method: &str, path: &str) -> bool {
        if self.method != "ANY" && self.method != method {
            return false;
        }
        let mut wanted = self.path.trim_matches('/').split('/');
        let mut given = path.trim_matches('/').split('/');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(value)) if part.starts_with('{') && part.ends_with("+}") => return !value.is_empty(),
                (Some(part), Some(value)) if part == value || (part.starts_with('{') && !value.is_empty()) => {}
                _ => return false,
            }
        }
    }

    /// Fixed parts rank above variable ones, and a named method above `ANY`.
    fn specificity(&self) -> (bool, usize, bool) {
        let fixed = self.path.split('/').take_while(|part| !part.starts_with('{')).count();
        (!self.path.contains("+}"), fixed, self.method != "ANY")
    }
}

fn kind(resource: &Value) -> &str {
    resource
        .get("Type")
        .and_then(Value::as_str)
        .unwrap_or("a resource without a type")
}

fn function(resolver: &Resolver, id: &str, resource: &Value, globals: &Value) -> Result<Function, TemplateError> {
    let properties = resource.get("Properties").unwrap_or(&Value::Null);
    let binary = resource
        .get("Metadata")
        .and_then(|metadata| metadata.get("BuildProperties")?.get("Binary")?.as_str());
    let number = |key: &str, default: u64| -> Result<u64, TemplateError> {
        properties
            .get(key)
            .or_else(|| globals.get(key))
            .map_or(Ok(default), |value| resolver.number(id, value))
    };
    let mut environment = BTreeMap::new();
    for scope in [globals, properties] {
        let variables = scope
            .get("Environment")
            .and_then(|environment| environment.get("Variables")?.as_mapping());
        for (key, value) in variables.into_iter().flatten() {
            let key = key
                .as_str()
                .ok_or_else(|| invalid(id, "the name of a variable is not a string"))?;
            environment.insert(key.to_owned(), resolver.text(id, value)?);
        }
    }
    let mut function = Function {
        name: binary
            .ok_or_else(|| invalid(id, "Metadata.BuildProperties.Binary is missing"))?
            .to_owned(),
        timeout: Duration::from_secs(number("Timeout", 3)?),
        memory_mb: number("MemorySize", 128)?,
        environment,
        routes: Vec::new(),
        mappings: Vec::new(),
        schedules: Vec::new(),
    };
    for (name, event) in properties
        .get("Events")
        .and_then(Value::as_mapping)
        .into_iter()
        .flatten()
    {
        let place = format!("{id}.Events.{}", name.as_str().unwrap_or_default());
        let properties = event.get("Properties").unwrap_or(&Value::Null);
        match kind(event) {
            "HttpApi" => function.routes.push(Route {
                method: resolver.required(&place, properties, "Method")?.to_uppercase(),
                path: resolver.required(&place, properties, "Path")?,
            }),
            "SQS" => function.mappings.push(mapping(resolver, &place, properties)?),
            "ScheduleV2" => function.schedules.push(schedule(resolver, &place, properties)?),
            other => return Err(invalid(&place, format!("the local stack has no event source {other}"))),
        }
    }
    Ok(function)
}

fn mapping(resolver: &Resolver, place: &str, properties: &Value) -> Result<Mapping, TemplateError> {
    if properties.get("FilterCriteria").is_some() {
        return Err(invalid(place, "the local stack does not filter messages"));
    }
    let number = |key: &str, default: u64| {
        properties
            .get(key)
            .map_or(Ok(default), |value| resolver.number(place, value))
    };
    let concurrency = properties
        .get("ScalingConfig")
        .and_then(|scaling| scaling.get("MaximumConcurrency"));
    let batch_size = usize::try_from(number("BatchSize", 10)?).unwrap_or(usize::MAX);
    if !(1..=10).contains(&batch_size) {
        return Err(invalid(place, "the local stack takes 1 to 10 messages at a time"));
    }
    let reports = properties.get("FunctionResponseTypes").and_then(Value::as_sequence);
    Ok(Mapping {
        queue_arn: resolver.required(place, properties, "Queue")?,
        batch_size,
        batching_window: Duration::from_secs(number("MaximumBatchingWindowInSeconds", 0)?),
        reports_failures: reports.is_some_and(|types| {
            types
                .iter()
                .any(|kind| kind.as_str() == Some("ReportBatchItemFailures"))
        }),
        concurrency: concurrency
            .map_or(Ok(2), |value| resolver.number(place, value))?
            .try_into()
            .map_err(|_| invalid(place, "MaximumConcurrency is too large"))?,
    })
}

fn schedule(resolver: &Resolver, place: &str, properties: &Value) -> Result<Schedule, TemplateError> {
    let expression = resolver.required(place, properties, "ScheduleExpression")?;
    let every = rate(&expression).ok_or_else(|| {
        invalid(
            place,
            format!("the local stack supports rates only, not {expression:?}"),
        )
    })?;
    let input = properties
        .get("Input")
        .map_or_else(|| Ok("{}".to_owned()), |input| resolver.text(place, input))?;
    Ok(Schedule { every, input })
}

/// `rate(1 minute)`, `rate(2 hours)`.
fn rate(expression: &str) -> Option<Duration> {
    let (number, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .map(|number| Duration::from_secs(number * seconds))
}

fn bucket(resolver: &Resolver, id: &str, properties: &Value) -> Result<Bucket, TemplateError> {
    let mut notifications = Vec::new();
    let configuration = properties.get("NotificationConfiguration").and_then(Value::as_mapping);
    for (target, entries) in configuration.into_iter().flatten() {
        if target.as_str() != Some("QueueConfigurations") {
            return Err(invalid(id, "the local stack supports notifications to queues only"));
        }
        for entry in entries.as_sequence().into_iter().flatten() {
            if entry.get("Filter").is_some() {
                return Err(invalid(id, "the local stack does not filter notifications"));
            }
            notifications.push((
                resolver.required(id, entry, "Event")?,
                resolver.required(id, entry, "Queue")?,
            ));
        }
    }
    Ok(Bucket {
        name: resolver.reference(id, id)?,
        notifications,
    })
}

fn queue(resolver: &Resolver, id: &str, properties: &Value) -> Result<Queue, TemplateError> {
    let mut attributes = BTreeMap::new();
    for key in QUEUE_ATTRIBUTES {
        if let Some(value) = properties.get(key) {
            attributes.insert(key.to_owned(), resolver.text(id, value)?);
        }
    }
    if let Some(policy) = properties.get("RedrivePolicy") {
        let target = resolver.required(id, policy, "deadLetterTargetArn")?;
        let receives = resolver.number(id, policy.get("maxReceiveCount").unwrap_or(&Value::Null))?;
        let policy = serde_json::json!({ "deadLetterTargetArn": target, "maxReceiveCount": receives });
        attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
    }
    Ok(Queue {
        name: resolver.queue_name(id),
        attributes,
    })
}

#[cfg(test)]
mod tests;
