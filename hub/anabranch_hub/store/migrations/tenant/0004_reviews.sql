-- Filled by the step of its name.

SELECT 1;
