"""Words beside a number that change its meaning."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: A number after one of these words is only a part of the amount: "twice 5 + 3".
PART_BEFORE = _words(
    """
    about and average by ceil ceiling cos cubed divided double dozen floor gcd half hundred lcm less ln log max mean
    median million min minus mod more multiplied negative not of over percent plus power product quarter ratio root
    sin square squared tan than third thousand thrice times to triple twice
    """
)
#: A number before one of these words is only a part of the amount: "5 thousand".
PART_AFTER = _words(
    """
    and base billion billions bn by cr crore crores cubed divided dozen dozens fifths fourth fourths half halves
    hundred hundreds k lac lacs lakh lakhs million millions minus mn mod modulo multiplied nd or over plus point
    power quarter quarters r rd rem remainder squared st th third thirds thousand thousands times to
    """
)
PART = PART_BEFORE | PART_AFTER
#: Units of measure. The same amount has another number in another unit. Singular, as `rstrip('s')` makes it.
MEASURES = _words(
    """
    $ acre am box boxe case cent centimeter cm cup day decade degree dime dozen feet foot ft g gallon gram hour hr
    inch inche kg kilogram kilometer kilometre km lb liter litre meter metre mile milliliter min minute ml mm month
    mph nickel ounce oz pack pair pint pm point pound quart quarter row sec second tablespoon teaspoon ton week yard
    year
    """
)
#: Words that may follow a number without a space: 5km. Any other letter there is a variable: 5x.
SUFFIXES = _words(
    """
    am cm ft hour hours hr hrs in kg km kmh lb lbs mg mi min mins ml mm mph oz percent pm sec secs times yd
    """
)


def _amounts() -> dict[str, frozenset[float]]:
    lines = """
    zero no none=0; one once single=1; two twice both double doubled doubles pair pairs couple=2;
    thrice triple three tripled triples=3; four quadruple=4; five=5; six=6; seven=7; eight=8; nine=9; ten=10;
    eleven=11; twelve=12; thirteen=13; fourteen=14; fifteen=15; sixteen=16; seventeen=17; eighteen=18; nineteen=19;
    twenty=20; thirty=30; forty=40; fifty=50; sixty=60; seventy=70; eighty=80; ninety=90; hundred hundreds=100;
    thousand thousands=1000; million=1e6; billion=1e9; trio triplets triangle=3; dozen dozens=12; score=20;
    half halves halved=2 0.5 50 1.5 150; third thirds=3 33 66 67 0.33 0.67 0.66 0.333 0.667;
    quarter quarters fourth fourths=4 0.25 25 0.75 75; fifth fifths=5 0.2 20 0.8 80; sixth=6; seventh=7;
    eighth eighths=8 0.125; tenth tenths=10 0.1; week weeks weekly weekday weekdays weekend weekends=7 4 52 5 2;
    day days daily=7 24 30 31 365; month months monthly=12 30 4 31 28;
    year years yearly annual annually annum=12 365 52 366; hour hours hourly=60 24 3600; minute minutes=60 3600;
    second seconds=60 3600; decade=10; century=100; inch inches=12 36; foot feet=12 3 5280; yard yards=3 36;
    mile miles=5280 1760; pound pounds=16 2000; ounce ounces=16 8; ton tons=2000; gallon gallons=4 16 128 8;
    quart quarts=4 32; pint pints=2 16; cup cups=8 16; cent cents penny pennies=100 0.01; dollar dollars=100 4 20;
    dime dimes=10 0.1; nickel nickels=5 0.05;
    kilometer kilometers km kilogram kilograms kg gram grams liter liters meter meters ml millimeters=1000 100;
    centimeters cm=100; square squares rectangle rectangular=4; cube=6; hexagon=6; pentagon=5; octagon=8;
    degrees angle angles circle triangle=180 90 360; percent percentage percents=100; leap=366; january=31;
    alphabet=26; teenager teenagers=13;
    """
    amounts: dict[str, frozenset[float]] = {}
    for line in lines.split(";"):
        words, _, values = line.partition("=")
        for word in words.split():
            amounts[word] = amounts.get(word, frozenset()) | {float(value) for value in values.split()}
    return amounts


#: The numbers that a word stands for, or the factors between its unit and others.
AMOUNTS = _amounts()
