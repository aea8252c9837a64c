"""Chat templates that fail."""

FAULTS = {
    "{{ raise_exception('roles must alternate') }}": "TemplateError: roles must alternate",
    "{{ messages[0].nothing.at_all }}": "UndefinedError",
    "{% for m in messages %}": "TemplateSyntaxError",
    "{{ ''.__class__.__mro__ }}": "SecurityError",
    "{{ 1 + messages[0].content }}": "TypeError",
    "{{ 1 // 0 }}": "ZeroDivisionError",
    "{{ 10 ** 5000 }}": "ValueError",
    "{{ [].index(1) }}": "ValueError",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "RecursionError",
}
