//! The intrinsic functions of a template.

use super::{Names, TemplateError, invalid, kind};
use serde_norway::Value;
use std::collections::BTreeMap;

/// Resolves `!Ref`, `!GetAtt` and `!Sub`.
pub(super) struct Resolver<'a> {
    pub(super) names: &'a Names,
    pub(super) resources: &'a BTreeMap<&'a str, &'a Value>,
    pub(super) parameters: Option<&'a Value>,
}

impl Resolver<'_> {
    pub(super) fn required(&self, place: &str, properties: &Value, key: &str) -> Result<String, TemplateError> {
        self.text(
            place,
            properties
                .get(key)
                .ok_or_else(|| invalid(place, format!("{key} is missing")))?,
        )
    }

    pub(super) fn number(&self, place: &str, value: &Value) -> Result<u64, TemplateError> {
        let text = self.text(place, value)?;
        text.parse()
            .map_err(|_| invalid(place, format!("{text:?} is not a whole number")))
    }

    pub(super) fn text(&self, place: &str, value: &Value) -> Result<String, TemplateError> {
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

    pub(super) fn reference(&self, place: &str, name: &str) -> Result<String, TemplateError> {
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

    pub(super) fn queue_name(&self, id: &str) -> String {
        format!("{}-{id}", self.names.stack)
    }
}
