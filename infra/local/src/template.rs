//! `template.yaml` as the local stack reads it: intrinsic functions are resolved against local names, and whatever
//! the stack cannot imitate is refused rather than left out.

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

/// Resolves `!Ref`, `!GetAtt` and `!Sub`.
struct Resolver<'a> {
    names: &'a Names,
    resources: &'a BTreeMap<&'a str, &'a Value>,
    parameters: Option<&'a Value>,
}

impl Resolver<'_> {
    fn required(&self, place: &str, properties: &Value, key: &str) -> Result<String, TemplateError> {
        self.text(
            place,
            properties
                .get(key)
                .ok_or_else(|| invalid(place, format!("{key} is missing")))?,
        )
    }

    fn number(&self, place: &str, value: &Value) -> Result<u64, TemplateError> {
        let text = self.text(place, value)?;
        text.parse()
            .map_err(|_| invalid(place, format!("{text:?} is not a whole number")))
    }

    fn text(&self, place: &str, value: &Value) -> Result<String, TemplateError> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            Value::Tagged(tagged) => {
                let argument = tagged
                    .value
                    .as_str()
                    .ok_or_else(|| invalid(place, format!("{} needs a string here", tagged.tag)))?;
                if tagged.tag == "Ref" {
                    self.reference(place, argument)
                } else if tagged.tag == "GetAtt" {
                    self.attribute(place, argument)
                } else if tagged.tag == "Sub" {
                    self.substitute(place, argument)
                } else {
                    Err(invalid(
                        place,
                        format!("the local stack does not support {}", tagged.tag),
                    ))
                }
            }
            _ => Err(invalid(place, "expected a string or a number")),
        }
    }

    fn reference(&self, place: &str, name: &str) -> Result<String, TemplateError> {
        match name {
            "AWS::Region" => return Ok(self.names.region.clone()),
            "AWS::AccountId" => return Ok(self.names.account.clone()),
            "AWS::StackName" => return Ok(self.names.stack.clone()),
            "AWS::Partition" => return Ok("aws".to_owned()),
            "AWS::URLSuffix" => return Ok("amazonaws.com".to_owned()),
            _ => {}
        }
        if let Some(value) = self.names.parameters.get(name) {
            return Ok(value.clone());
        }
        if let Some(parameter) = self.parameters.and_then(|parameters| parameters.get(name)) {
            return self.required(place, parameter, "Default");
        }
        match self.resources.get(name).map(|resource| (kind(resource), *resource)) {
            Some(("AWS::SQS::Queue", _)) => Ok(format!(
                "{}/{}/{}",
                self.names.endpoint,
                self.names.account,
                self.queue_name(name)
            )),
            Some(("AWS::S3::Bucket", resource)) => {
                let given = resource
                    .get("Properties")
                    .and_then(|properties| properties.get("BucketName"));
                given.map_or_else(
                    || Ok(format!("{}-{}", self.names.stack, name.to_lowercase())),
                    |given| self.text(place, given),
                )
            }
            _ => Err(invalid(
                place,
                format!("!Ref {name} refers to nothing in the local stack"),
            )),
        }
    }

    fn attribute(&self, place: &str, path: &str) -> Result<String, TemplateError> {
        let (name, attribute) = path.split_once('.').unwrap_or((path, ""));
        let resource = self.resources.get(name).map(|resource| kind(resource));
        match (resource, attribute) {
            (Some("AWS::SQS::Queue"), "Arn") => Ok(format!(
                "arn:aws:sqs:{}:{}:{}",
                self.names.region,
                self.names.account,
                self.queue_name(name)
            )),
            (Some("AWS::SQS::Queue"), "QueueName") => Ok(self.queue_name(name)),
            (Some("AWS::S3::Bucket"), "Arn") => Ok(format!("arn:aws:s3:::{}", self.reference(place, name)?)),
            _ => Err(invalid(
                place,
                format!("!GetAtt {path} refers to nothing in the local stack"),
            )),
        }
    }

    fn substitute(&self, place: &str, text: &str) -> Result<String, TemplateError> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| invalid(place, format!("{text:?} has no closing bracket")))?;
            result.push_str(before);
            // `${!Literal}` yields its literal text.
            result.push_str(&match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None if name.contains('.') => self.attribute(place, name)?,
                None => self.reference(place, name)?,
            });
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }

    fn queue_name(&self, id: &str) -> String {
        format!("{}-{id}", self.names.stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            endpoint: "http://127.0.0.1:5000".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            stack: "loyalty".to_owned(),
            parameters: BTreeMap::from([("Url".to_owned(), "postgres://here".to_owned())]),
        }
    }

    fn read(text: &str) -> Result<Template, TemplateError> {
        Template::resolve(&serde_norway::from_str(text).expect("YAML"), &names())
    }

    const SMALL: &str = r#"
Parameters:
  Url: { Type: String }
  Level: { Type: String, Default: info }
Globals:
  Function: { Timeout: 29, Environment: { Variables: { DATABASE_URL: !Ref Url, RUST_LOG: !Ref Level } } }
Resources:
  Files:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: !Sub "files-${AWS::AccountId}"
      NotificationConfiguration: { QueueConfigurations: [{ Event: "s3:ObjectCreated:*", Queue: !GetAtt Work.Arn }] }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1800
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5 }
  Dead: { Type: AWS::SQS::Queue }
  Worker:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: worker } }
    Properties:
      Timeout: 300
      Environment: { Variables: { QUEUE: !Ref Work, BUCKET: !Ref Files, RUST_LOG: debug } }
      Events:
        Work:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            BatchSize: 5
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: { MaximumConcurrency: 4 }
  Api:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: api } }
    Properties:
      Events:
        One: { Type: HttpApi, Properties: { Path: /api/things, Method: any } }
        Two: { Type: HttpApi, Properties: { Path: "/api/things/{proxy+}", Method: ANY } }
  Special:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: special } }
    Properties:
      Events:
        One: { Type: HttpApi, Properties: { Path: "/api/things/special/{proxy+}", Method: GET } }
"#;

    #[test]
    fn intrinsic_functions_become_local_names() {
        let template = read(SMALL).expect("a valid template");
        let worker = template
            .functions
            .iter()
            .find(|function| function.name == "worker")
            .expect("worker");
        let expected = [
            ("BUCKET", "files-123456789012"),
            ("DATABASE_URL", "postgres://here"),
            ("QUEUE", "http://127.0.0.1:5000/123456789012/loyalty-Work"),
            ("RUST_LOG", "debug"),
        ];
        assert_eq!(
            worker.environment,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        );
        assert_eq!(worker.timeout, Duration::from_secs(300));
        assert_eq!(
            template.buckets[0].notifications,
            [(
                "s3:ObjectCreated:*".to_owned(),
                "arn:aws:sqs:us-east-1:123456789012:loyalty-Work".to_owned()
            )]
        );
    }

    #[test]
    fn a_mapping_keeps_its_batch_its_reports_and_its_concurrency() {
        let template = read(SMALL).expect("a valid template");
        let worker = template
            .functions
            .iter()
            .find(|function| function.name == "worker")
            .expect("worker");
        assert_eq!(
            worker.mappings,
            [Mapping {
                queue_arn: "arn:aws:sqs:us-east-1:123456789012:loyalty-Work".to_owned(),
                batch_size: 5,
                batching_window: Duration::ZERO,
                reports_failures: true,
                concurrency: 4,
            }]
        );
    }

    #[test]
    fn a_schedule_keeps_its_rate_and_its_input() {
        let scheduled = |event: &str| {
            let text = format!(
                "Resources: {{ Clock: {{ Type: AWS::Serverless::Function,
                 Metadata: {{ BuildProperties: {{ Binary: clock }} }},
                 Properties: {{ Events: {{ Tick: {{ Type: ScheduleV2, Properties: {event} }} }} }} }} }}"
            );
            read(&text)
                .map(|template| template.functions[0].schedules.clone())
                .map_err(|problem| problem.to_string())
        };
        let minute = Schedule {
            every: Duration::from_secs(60),
            input: "{}".to_owned(),
        };
        assert_eq!(scheduled("{ ScheduleExpression: rate(1 minute) }"), Ok(vec![minute]));
        let hours = Schedule {
            every: Duration::from_secs(7_200),
            input: r#"{"a":1}"#.to_owned(),
        };
        assert_eq!(
            scheduled(r#"{ ScheduleExpression: rate(2 hours), Input: '{"a":1}' }"#),
            Ok(vec![hours])
        );
        for expression in ["cron(0 3 * * ? *)", "rate(0 minutes)", "rate(1 week)", "rate(minute)"] {
            let problem =
                format!("template.yaml, Clock.Events.Tick: the local stack supports rates only, not {expression:?}");
            assert_eq!(
                scheduled(&format!("{{ ScheduleExpression: {expression:?} }}")),
                Err(problem)
            );
        }
    }

    #[test]
    fn dead_letter_queues_come_before_the_queues_that_name_them() {
        let queues = read(SMALL).expect("a valid template").queues;
        assert_eq!(
            queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(),
            ["loyalty-Dead", "loyalty-Work"]
        );
        assert_eq!(
            queues[1].attributes["RedrivePolicy"],
            r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:loyalty-Dead","maxReceiveCount":5}"#
        );
    }

    #[test]
    fn the_most_specific_route_answers() {
        let template = read(SMALL).expect("a valid template");
        let answers = |method, path| template.function_at(method, path).map(|function| function.name.clone());
        assert_eq!(answers("GET", "/api/things").as_deref(), Some("api"));
        assert_eq!(answers("GET", "/api/things/7/parts").as_deref(), Some("api"));
        assert_eq!(answers("GET", "/api/things/special/7").as_deref(), Some("special"));
        assert_eq!(answers("PUT", "/api/things/special/7").as_deref(), Some("api"));
        assert_eq!(answers("GET", "/api/thing"), None);
        assert_eq!(answers("GET", "/"), None);
    }

    #[test]
    fn what_cannot_be_imitated_is_refused_by_name() {
        let problem = read("Resources: { Topic: { Type: AWS::SNS::Topic } }")
            .expect_err("no topics here")
            .to_string();
        assert_eq!(
            problem,
            "template.yaml, Topic: the local stack has no counterpart of AWS::SNS::Topic"
        );
        let problem = read(&SMALL.replace("!GetAtt Dead.Arn", "!GetAtt Gone.Arn"))
            .expect_err("no such queue")
            .to_string();
        assert_eq!(
            problem,
            "template.yaml, Work: !GetAtt Gone.Arn refers to nothing in the local stack"
        );
    }

    #[test]
    fn the_template_of_the_project_can_be_imitated() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let mut names = names();
        names.parameters = BTreeMap::from([("MigrationDatabaseUrl".to_owned(), "postgres://owner@here".to_owned())]);
        let template = Template::read(&path, &names).expect("the project's template");
        let migrate = template
            .functions
            .iter()
            .find(|function| function.name == "migrate")
            .expect("migrate");
        assert_eq!(migrate.environment["DATABASE_URL"], "postgres://owner@here");
        for function in &template.functions {
            let for_the_owner = function.environment.values().any(|value| value.contains("owner"));
            assert_eq!(
                for_the_owner,
                function.name == "migrate",
                "{} and the owner's address",
                function.name
            );
        }
    }
}
