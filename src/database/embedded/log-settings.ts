/**
 * No row, statement or value of a caller gets into the log of Postgres: neither as the statement, detail or context of a line,
 * nor in the message of an error, which quotes the text that it could not read. The level `log` is above ERROR and below FATAL
 * and PANIC. The service gets every error, and logs its code.
 */
export const LOG_SETTINGS = {
  log_min_messages: 'log',
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_statement: 'none',
  log_duration: 'off',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
}
