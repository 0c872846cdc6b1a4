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
