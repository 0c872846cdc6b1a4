-- Health compares the version of the schema with the one the program was built for.

GRANT SELECT ON refinery_schema_history TO loyalty_runtime;
