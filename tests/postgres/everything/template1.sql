-- what every new database would have
CREATE TABLE public.everywhere (a int);
INSERT INTO public.everywhere VALUES (1);
